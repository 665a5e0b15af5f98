"""The Rekognition protocol (AWS JSON 1.1): unmodified AWS SDKs call the same services as the native API.

protocol.py      handles a request: authentication, rate limit, operation, response
root.py          serves the protocol at `/` too
signing.py       reads a signed request and verifies its signature
operations.py    lists the supported operations and their permissions
targets.py       reads a request's operation from its headers
wire_model.py    validates requests and serializes responses by botocore's service model
errors.py        translates our errors into AWS's codes
messages.py      words our errors as AWS does
similarity.py    converts cosines to percentages
confidence.py    converts detection scores to percentages
attributes.py    fills attributes that no model estimates, if the tenant wants it
arns.py  faces_out.py  call.py     shared by the operations
collections.py  tags.py  faces.py  searches.py  users.py  videos.py     the operations
"""

PATH = "/rekognition"
"""The endpoint. It is also served with a trailing slash, which some clients append."""

SERVICE = "rekognition"
"""The service name that clients sign for, and the name of botocore's service model."""

TARGET_PREFIX = "RekognitionService"
"""`X-Amz-Target` is this, a dot and the operation."""

MAX_IMAGE_BYTES = 5_242_880
MIN_IMAGE_SIDE = 80
"""In pixels, as AWS requires; the native API takes smaller images."""
MAX_BODY_BYTES = 2 * 4 * -(-MAX_IMAGE_BYTES // 3) + 64 * 1024
"""Two base64-encoded images and the JSON around them."""
MAX_PLAIN_BYTES = 256 * 1024
"""For operations without photos: 4096 ids are 160 KB."""


def is_rekognition(path: str) -> bool:
    """Return whether a path belongs to this protocol."""
    return path in (PATH, f"{PATH}/")
