"""The Rekognition protocol (AWS JSON 1.1): what an unmodified boto3 client speaks, over the same services.

protocol.py      one request: whose, which operation, how often; its answer or its error
signing.py       reads the body between the two halves of checking the signature
operations.py    every operation that is answered, with the permission it needs
wire_model.py    botocore's service model: what requests must be and answers are
errors.py        our errors under AWS's codes
similarity.py    cosines as percentages
arns.py  faces_out.py  call.py     what the operations share
collections.py  tags.py  faces.py  searches.py  users.py     the operations
"""

PATH = "/rekognition"
"""Where it is served; with and without a slash at the end, as clients append one or do not."""

MAX_IMAGE_BYTES = 5_242_880
MAX_BODY_BYTES = 2 * 4 * -(-MAX_IMAGE_BYTES // 3) + 64 * 1024
"""Two images in base64, and what stands around them."""
MAX_PLAIN_BYTES = 256 * 1024
"""For operations without photos: 4096 ids are 160 KB."""


def is_rekognition(path: str) -> bool:
    """Whether this protocol is spoken at a path."""
    return path in (PATH, f"{PATH}/")
