"""Call every operation of CompreFace's client for Python, and print what it returned as JSON.

Its only knowledge of Vultus is the port, which ends in `/compreface`, and the key.
"""

import json
import sys
from pathlib import Path

from compreface import CompreFace
from compreface.service import DetectionService, RecognitionService, VerificationService

domain, port, key, photos = sys.argv[1:]
ada, again, bob, both, nobody = (
    str(Path(photos) / f"{name}.jpg") for name in ("ada", "again", "bob", "both", "nobody")
)

client = CompreFace(domain, port, {"limit": 0, "det_prob_threshold": 0.1, "prediction_count": 1, "status": "true"})
recognition: RecognitionService = client.init_face_recognition(key)
detection: DetectionService = client.init_face_detection(key)
verification: VerificationService = client.init_face_verification(key)
faces, subjects = recognition.get_face_collection(), recognition.get_subjects()

answers = {
    "added": faces.add(image_path=ada, subject="Ada Acker"),
    "added_bytes": faces.add(image_path=Path(bob).read_bytes(), subject="bob"),
    "refused": faces.add(image_path=nobody, subject="eve"),
    "created": subjects.add("cid"),
    "subjects": subjects.list(),
    "faces": faces.list(),
    "recognized": recognition.recognize(again),
    "predicted": recognition.recognize(both, {"limit": 2, "prediction_count": 2, "face_plugins": "landmarks,age"}),
    "detected": detection.detect(both),
    "verified": verification.verify(ada, again),
    "renamed": subjects.update("cid", "dan"),
}
answers["compared"] = faces.verify(image_path=again, image_id=answers["added"]["image_id"])
answers["deleted"] = faces.delete(answers["added"]["image_id"])
answers["deleted_again"] = faces.delete(answers["added"]["image_id"])
answers["emptied"] = faces.delete_all("bob")
answers["deleted_subject"] = subjects.delete("dan")
answers["deleted_subjects"] = subjects.delete_all()
answers["left"] = subjects.list()
print(json.dumps(answers))
