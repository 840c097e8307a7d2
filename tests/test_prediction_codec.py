"""Optional fields of predictions."""

from msgspec.structs import replace

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.schema import Text
from telco_stream.messages.prediction import PredictionCodec, Reason, encode_prediction

CONTRACT = builtin_contract()
ANSWER = ("7", 0.25, "No", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "v1", "One year", "DSL")


def test_message_has_the_optional_fields_that_are_given() -> None:
    codec = PredictionCodec(CONTRACT)
    plain = codec.type(*ANSWER)
    explained = codec.type(*ANSWER, -1.5, (Reason("tenure", -0.5), Reason("Contract", 0.25, "One year")), True)
    assert encode_prediction(explained) == encode_prediction(plain)[:-1] + (
        b',"base":-1.5,"reasons":[{"feature":"tenure","contribution":-0.5},'
        b'{"feature":"Contract","contribution":0.25,"value":"One year"}],"control":true}'
    )
    assert [codec.decode(encode_prediction(prediction)) for prediction in (plain, explained)] == [plain, explained]


def test_optional_field_gives_way_to_a_column_of_the_same_name() -> None:
    codec = PredictionCodec(replace(CONTRACT, carry=(*CONTRACT.carry, Text(name="base"))))
    assert codec.optional == ("reasons", "control")
    answer = {"base": "north"}
    decoded = codec.decode(encode_prediction(codec.type(*ANSWER, "north")))
    assert {name: getattr(decoded, codec.attributes[name]) for name in answer} == answer
