"""Stores of records: conditional writes to files and to S3 (moto), and how S3's answers are handled."""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from rollout.journal.store import FileStore, S3Store, Store, StoreConflictError, StoreError, open_store
from tests.moto_server import moto_server
from tests.rollout.full_disk import no_room

BUCKET = "records"


@pytest.fixture(scope="module")
def s3_client() -> Generator[Any]:
    with moto_server() as url:
        client: Any = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(s3={"addressing_style": "path"}),
        )
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        return FileStore(tmp_path / "records")
    return S3Store(request.getfixturevalue("s3_client"), BUCKET, f"/{tmp_path.name}")


def test_a_document_is_created_once_and_read_back(store: Store) -> None:
    assert store.read("lock") is None
    version = store.create("lock", b"one")
    with pytest.raises(StoreConflictError, match="lock"):
        store.create("lock", b"two")
    stored = store.read("lock")
    assert stored is not None
    assert (stored.content, stored.version) == (b"one", version)


def test_a_replacement_needs_the_current_version(store: Store) -> None:
    first = store.create("lock", b"one")
    second = store.replace("lock", b"two", first)
    assert second != first
    with pytest.raises(StoreConflictError):
        store.replace("lock", b"three", first)
    with pytest.raises(StoreConflictError):
        store.replace("other", b"three", first)
    stored = store.read("lock")
    assert stored is not None
    assert stored.content == b"two"


def test_a_deleted_document_is_gone_and_deleting_twice_is_fine(store: Store) -> None:
    store.create("stop", b"x")
    store.delete("stop")
    store.delete("stop")
    assert store.read("stop") is None
    store.create("stop", b"y")


def test_keys_are_listed_in_order_after_a_given_key(store: Store) -> None:
    for number in (3, 1, 2):
        store.create(f"journal/chat/{number:04}", b"x")
    store.create("journal/other/0001", b"x")
    assert store.keys("journal/chat/") == [f"journal/chat/000{number}" for number in (1, 2, 3)]
    assert store.keys("journal/chat/", after="journal/chat/0001") == ["journal/chat/0002", "journal/chat/0003"]
    assert store.keys("none/") == []


def test_only_one_of_many_writers_replaces_a_version(store: Store) -> None:
    version, won = store.create("lock", b"-"), list[int]()

    def write(number: int) -> None:
        try:
            store.replace("lock", str(number).encode(), version)
        except StoreConflictError:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = store.read("lock")
    assert stored is not None
    assert [stored.content] == [str(number).encode() for number in won]


def test_a_full_disk_leaves_the_document_as_it_was(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    version = store.create("lock", b"one")
    with no_room(), pytest.raises(StoreError, match=r"lock: cannot be written \(File too large\)"):
        store.replace("lock", b"two", version)
    assert store.replace("lock", b"three", version)
    assert store.keys("") == ["lock"]


class Answering:
    """An S3 client that calls ``before`` and ``after`` each write. Either may raise instead of an answer."""

    def __init__(self, client: Any, before: Callable[[], None], after: Callable[[], None] = lambda: None) -> None:
        self._client, self._before, self._after = client, before, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **arguments: Any) -> Any:
        self._before()
        answer = self._client.put_object(**arguments)
        self._after()
        return answer


def fault(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutObject")


def raising(*errors: Exception) -> Callable[[], None]:
    left = list(errors)

    def act() -> None:
        if left:
            raise left.pop(0)

    return act


def test_a_write_whose_answer_was_lost_is_recognized_as_our_own(s3_client: Any) -> None:
    lost = Answering(s3_client, lambda: None, raising(fault("PreconditionFailed", 412)))
    store = S3Store(lost, BUCKET, "lost")
    version = store.create("lock", b"mine")
    assert store.replace("lock", b"mine too", version)


def test_a_write_that_s3_refused_because_of_a_simultaneous_one_is_sent_again(s3_client: Any) -> None:
    store = S3Store(Answering(s3_client, raising(fault("ConditionalRequestConflict", 409))), BUCKET, "race")
    assert store.create("lock", b"mine")


def test_the_error_for_a_refused_write_names_the_document_and_the_reason(s3_client: Any) -> None:
    store = S3Store(Answering(s3_client, raising(fault("AccessDenied", 403))), BUCKET, "team")
    with pytest.raises(StoreError, match=r"s3://records/team/lock: cannot be written \(AWS PutObject: AccessDenied"):
        store.create("lock", b"x")
    silent = ReadTimeoutError(endpoint_url="https://s3")
    with pytest.raises(StoreError, match="https://s3 does not answer"):
        S3Store(Answering(s3_client, raising(silent)), BUCKET, "team").create("lock", b"x")


def test_a_missing_bucket_is_an_error_and_not_an_empty_store(s3_client: Any) -> None:
    with pytest.raises(StoreError, match="NoSuchBucket"):
        S3Store(s3_client, "nowhere").read("lock")


def test_throttling_and_timeouts_are_retried_by_the_client(
    s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_client.meta.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    store = open_store(f"s3://{BUCKET}/{tmp_path.name}", "us-east-1")
    assert isinstance(store, S3Store)
    client: Any = store._client  # pyright: ignore[reportPrivateUsage]
    answers = [503, None]

    def throttle(**_: Any) -> Any:
        from botocore.awsrequest import AWSResponse, HeadersDict

        class Raw:
            def stream(self) -> Any:
                yield b"<Error><Code>SlowDown</Code><Message>wait</Message></Error>"

        headers: Any = HeadersDict()
        status = answers.pop(0) if answers else None
        return None if status is None else AWSResponse("https://s3", status, headers, Raw())

    client.meta.events.register("before-send.s3.PutObject", throttle)
    assert store.create("lock", b"x")
    assert not answers
    assert client.meta.config.read_timeout <= 5


def test_a_url_names_a_store(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/a%20folder")
    store.create("lock", b"x")
    assert (tmp_path / "a folder" / "lock").read_bytes() == b"x"


def test_the_only_document_is_withdrawn_with_the_folders_that_were_made_for_it(tmp_path: Path) -> None:
    store = FileStore(tmp_path / ".rollout" / "prod")
    store.withdraw("lock", store.create("lock", b"one"))
    assert list(tmp_path.iterdir()) == []
    store.create("lock", b"two")
    assert (tmp_path / ".rollout" / "prod" / "lock").exists()


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    store = FileStore(tmp_path / "shared" / "prod")
    store.withdraw("lock", store.create("lock", b"one"))
    assert list(tmp_path.iterdir()) == [tmp_path / "shared"]
    assert list((tmp_path / "shared").iterdir()) == []


def test_a_document_is_not_withdrawn_once_it_has_another_version_or_company(store: Store) -> None:
    first = store.create("lock", b"one")
    second = store.replace("lock", b"two", first)
    store.withdraw("lock", first)
    assert store.read("lock") is not None
    store.create("stop", b"")
    store.withdraw("lock", second)
    assert store.read("lock") is not None


def test_a_write_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with no_room(), pytest.raises(StoreError):
        FileStore(tmp_path / ".rollout" / "prod").create("lock", b"x" * 100)
    assert list(tmp_path.iterdir()) == []


def test_writers_exclude_each_other_although_the_folder_comes_and_goes(tmp_path: Path) -> None:
    """No write is lost: another one replaces it, its writer withdraws it, or it is there at the end."""
    written: list[str] = []
    replaced: list[str] = []
    withdrawn: set[str] = set()

    def work(number: int) -> None:
        store = FileStore(tmp_path / ".rollout" / "prod")
        for place in range(20):
            version = write(store, f"{number} {place}".encode())
            if place % 3 == 0:
                withdrawn.add(version)  # unless another writer has been faster
                store.withdraw("lock", version)

    def write(store: FileStore, content: bytes) -> str:
        while True:
            found = store.read("lock")
            with suppress(StoreConflictError):
                if found is None:
                    version = store.create("lock", content)
                else:
                    version = store.replace("lock", content, found.version)
                    replaced.append(found.version)
                written.append(version)
                return version

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, range(3)))
    last = FileStore(tmp_path / ".rollout" / "prod").read("lock")
    assert len(set(written)) == 60
    assert len(replaced) == len(set(replaced)) > 0
    assert set(written) - set(replaced) - withdrawn <= ({last.version} if last else set())
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"lock", ".writing"}
