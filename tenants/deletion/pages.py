"""/receipts/<id>: the receipt of a deletion, for whoever was given its address.

It is about nobody, its address cannot be guessed, and the organisation that it is about has nobody
left who could sign in; so it asks for no sign-in, and stays open while hosted mode is off.
"""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_safe

from tenants.deletion import blast, receipts
from tenants.models import DeletionReceipt


@require_safe
def page(request: HttpRequest, receipt_id: UUID) -> HttpResponse:
    receipt = _receipt(receipt_id)
    return render(request, "tenants/receipt.html", shown(receipt))


@require_safe
def file(request: HttpRequest, receipt_id: UUID) -> HttpResponse:
    """What `manage.py deletion_receipt --verify` takes, as a download."""
    receipt = _receipt(receipt_id)
    answer = JsonResponse(receipts.as_file(receipt), json_dumps_params={"indent": 2})
    name = f"deletion-receipt-{receipt.label}.json"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def shown(receipt: DeletionReceipt) -> dict[str, object]:
    """What templates show of a receipt, its check included."""
    document = receipt.document
    until = document["copies"]["until"]
    return {
        "receipt": receipt,
        "document": document,
        "lines": blast.in_words({**document["deleted"], "backups": 0}),
        "requested_at": parse_datetime(document["requested_at"]),
        "deleted_at": parse_datetime(document["deleted_at"]),
        "copies_until": parse_datetime(until) if until else None,  # what is signed, not the column
        "verdict": receipts.check(receipt),
        "public_key": receipts.as_file(receipt)["public_key"],
    }


def _receipt(receipt_id: UUID) -> DeletionReceipt:
    found = DeletionReceipt.objects.filter(pk=receipt_id).first()
    if found is None:
        raise Http404
    return found
