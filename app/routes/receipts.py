"""The keys that receipts of erasures are signed with, for whoever holds one."""

from fastapi import APIRouter

from app.routes import API
from app.routes.deps.callers import StateDep
from app.schemas.subjects import ReceiptKeysOut

router = APIRouter(tags=["privacy"])


@router.get(f"{API}/receipt-keys", summary="The public keys of erasure receipts")
async def list_receipt_keys(state: StateDep) -> ReceiptKeysOut:
    return ReceiptKeysOut(keys=state.receipts.public_keys())
