"""Serve the public keys that verify erasure receipts."""

from app.routes import API
from app.routes.deps.callers import StateDep
from app.routes.strict_route import strict_router
from app.schemas.subjects import ReceiptKeysOut

router = strict_router(tags=["privacy"])


@router.get(f"{API}/receipt-keys", summary="List the public keys that verify erasure receipts")
async def list_receipt_keys(state: StateDep) -> ReceiptKeysOut:
    """Public: anyone can verify an erasure receipt. Compare a receipt's `public_key` with this list."""
    return ReceiptKeysOut(keys=state.receipts.public_keys())
