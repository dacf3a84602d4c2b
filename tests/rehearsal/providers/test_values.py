"""Property values between the wire and plain trees."""

from google.protobuf.struct_pb2 import Struct, Value

from rehearsal.providers.values import UNKNOWN, contains_unknown, from_struct, to_struct

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"


def secret(value: str) -> Value:
    fields = {SIGNATURE: Value(string_value=SECRET), "value": Value(string_value=value)}
    return Value(struct_value=Struct(fields=fields))


def is_secret(value: Value) -> bool:
    return value.struct_value.fields[SIGNATURE].string_value == SECRET


def test_whole_numbers_become_ints_and_others_stay_floats() -> None:
    tree = from_struct(to_struct({"weight": 25, "threshold": 0.5}))
    assert (repr(tree["weight"]), repr(tree["threshold"])) == ("25", "0.5")


def test_an_unknown_value_survives_the_round_trip() -> None:
    tree = from_struct(to_struct({"arn": UNKNOWN, "tags": {"a": "b"}}))
    assert tree["arn"] is UNKNOWN
    assert contains_unknown(tree)
    assert not contains_unknown(tree["tags"])


def test_a_secret_is_plain_inside_and_secret_again_outside() -> None:
    inputs = Struct(fields={"header": secret("green-s3cret"), "path": Value(string_value="/v1/*")})
    tree = from_struct(inputs)
    assert tree == {"header": "green-s3cret", "path": "/v1/*"}
    state = to_struct({**tree, "arn": "arn"}, inputs)
    assert is_secret(state.fields["header"])
    assert state.fields["path"].string_value == "/v1/*"


def test_a_list_that_changed_its_length_is_all_secret_when_one_element_was() -> None:
    inputs = Struct()
    inputs.fields["values"].list_value.values.extend([secret("one"), Value(string_value="two")])
    state = to_struct({"values": ["one", "two", "three"]}, inputs)
    assert all(is_secret(value) for value in state.fields["values"].list_value.values)
