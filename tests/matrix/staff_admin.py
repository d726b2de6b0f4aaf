"""The permission matrix of the staff admin, by kind of page.

Every model of the site's registry has the pages of MODEL; a page that belongs to one model only stands
in OTHERS. Columns: who is no staff (all ten others, sessions and tokens alike), staff who may not see
that model, staff who may, superuser. The staff of `tests.matrix.world` may see and change
organisations and see people.

Nothing is added, changed or deleted through forms, an invitation excepted: changes are verbs.
"""

from __future__ import annotations

MODEL = """
GET   changelist  302 403 200 200
POST  changelist  302 403 200 200
GET   add         302 403 403 403
POST  add         302 403 403 403
GET   change      302 403 200 200
POST  change      302 403 403 403
GET   delete      302 403 403 403
POST  delete      302 403 403 403
GET   history     302 403 200 200
POST  history     302 403 200 200
"""
PATHS = {
    "changelist": "",
    "add": "add/",
    "change": "{}/change/",
    "delete": "{}/delete/",
    "history": "{}/history/",
}
# Where a model differs from MODEL.
EXCEPT = {
    ("GET", "tenants.invitation", "add"): (302, 403, 200, 200),
    ("POST", "tenants.invitation", "add"): (302, 403, 200, 200),
}
MAY_SEE = ("tenants.organisation", "tenants.user")

# Named addresses outside the models' own pages: method, name, arguments, statuses as above (staff twice
# the same: these belong to no model, or to organisations).
OTHERS = """
GET   index                                                  302 200 200 200
POST  index                                                  302 200 200 200
GET   app_list:tenants                                       302 200 200 200
GET   search                                                 302 200 200 200
GET   jsi18n                                                 302 200 200 200
GET   autocomplete                                           302 403 403 403
GET   logout                                                 302 405 405 405
GET   password_change                                        302 302 302 302
GET   password_change_done                                   302 200 200 200
GET   tenants_organisation_suspend:organisation              302 200 200 200
GET   tenants_organisation_take_over:organisation            302 200 200 200
GET   tenants_organisation_lift:organisation                 302 200 200 200
GET   tenants_organisation_soft_delete:organisation          302 200 200 200
GET   tenants_organisation_restore:organisation              302 200 200 200
GET   tenants_organisation_back_up:organisation              302 200 200 200
GET   tenants_backup_put_back:nobody                         302 404 404 404
GET   tenants_organisation_provision:organisation            302 200 200 200
GET   tenants_organisation_revoke_token:organisation,nobody 302 404 404 404
GET   tenants_invitation_revoke:nobody                       302 404 404 404
GET   tenants_invitation_upload                              302 403 403 200
GET   tenants_rollout                                        302 403 403 200
GET   tenants_rollout_act:stop,-                             302 403 403 200
POST  tenants_rollout_act:stop,-                             302 403 403 302
GET   tenants_rollout_act:raise,public_beta                  302 403 403 200
GET   tenants_user_close_account:nobody                      302 404 404 404
GET   tenants_user_reopen_account:nobody                     302 404 404 404
GET   tenants_user_remove_second_factor:nobody               302 404 404 404
GET   tenants_removal_put_off:nothing                        302 404 404 404
GET   tenants_removal_again:nothing                          302 404 404 404
GET   procrastinate_procrastinatejob_again:nothing           302 404 404 404
GET   audit_batch_verify:nothing                             302 404 404 404
GET   audit_event_export:csv                                 302 403 403 200
"""
