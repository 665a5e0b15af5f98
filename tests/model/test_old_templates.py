"""Faces stored before quality scores existed get theirs when their photo comes again."""

from sqlalchemy import text

from app.persistence.connections.database import Database
from tests.api.conftest import Account
from tests.model.test_real_pack import account, people, pytestmark

__all__ = ["account", "pytestmark"]

FACES = "/collections/default/subjects/{}/faces"


async def test_an_old_template_is_rated_when_its_photo_comes_again(account: Account, database: Database) -> None:
    photo = people()[0][1][0]
    (stored,) = (await account.register("good", photo.read_bytes(), face="largest")).json()["templates"]
    async with database.transaction(as_operator=True) as session:
        await session.execute(
            text(
                "UPDATE templates SET quality = quality - 'score' - 'embedding_length', image_digest = NULL"
                " WHERE tenant_id = :tenant"
            ),
            {"tenant": account.tenant_id},
        )
    (before,) = (await account.client.get(FACES.format("good"))).json()["items"]
    assert "score" not in before["quality"]
    (again,) = (await account.register("good", photo.read_bytes(), face="largest")).json()["templates"]
    assert (again["was_stored"], again["face_id"]) == (True, stored["face_id"])
    (after,) = (await account.client.get(FACES.format("good"))).json()["items"]
    assert after["quality"]["score"] >= 30
    assert after["quality"]["embedding_length"] > 5
    found = (await account.send("/recognize", photo.read_bytes())).json()["faces"][0]["candidates"][0]
    assert (found["subject"], found["decision"], found["decision_limits"]) == ("good", "match", [])
