"""Open a door for the person whose badge was read, if the camera sees that person.

python examples/entrance.py SUBJECT PHOTO

The server is in VULTUS_URL, a key with the scope `recognize` in VULTUS_API_KEY. Exits with 0 to open, 1 to refuse,
2 if a person must look: the photo is no good, the similarity is doubtful, or the server is away.
"""

import os
import sys

from vultus_client import ApiError, ConnectionLost, Vultus, problems


def decide(vultus: Vultus, subject: str, photo: str) -> tuple[int, str]:
    """Return the exit status and a reason for the log of the door, which names nobody."""
    try:
        answer = vultus.verify(subject, photo, face="largest")
    except problems.SubjectNotFound:
        return 1, "this badge belongs to nobody"
    except (problems.FaceRefused, problems.ImageRefused) as error:
        return 2, f"take another photo: {error.code}"
    except (ApiError, ConnectionLost) as error:
        return 2, f"no answer: {type(error).__name__}"
    return {"match": (0, "open"), "no_match": (1, "somebody else")}.get(answer["decision"], (2, "not sure"))


def main() -> int:
    """Ask once."""
    with Vultus(os.environ["VULTUS_URL"], api_key=os.environ["VULTUS_API_KEY"], timeout_s=5.0) as vultus:
        status, reason = decide(vultus, sys.argv[1], sys.argv[2])
    print(reason)
    return status


if __name__ == "__main__":
    sys.exit(main())
