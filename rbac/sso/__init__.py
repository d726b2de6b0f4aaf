"""Single sign-on by OpenID Connect, per organisation (hosted-contract section 11).

flow        to the provider and back: `start`, `finish`
attempts    one sign-in on its way: state, nonce, PKCE verifier, one browser
discovery   what a provider says of itself, and its keys
id_token    is this token for us, from them, now, for this attempt?
claims      what it says of the person, and whether that may come in
mapping     groups -> roles, in this organisation only
signin      identity -> person -> membership -> session
providers   the verbs of the settings
"""
