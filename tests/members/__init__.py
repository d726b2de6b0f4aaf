"""People of organisations: membership, invitations, their API and pages."""
