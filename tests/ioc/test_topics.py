"""The native topic grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc import topics
from ioc.errors import TopicError

DEVICES = st.from_regex(topics.DEVICE_ID, fullmatch=True)


@given(DEVICES, st.sampled_from(["announce", "telemetry", "state", "command", "command/result"]))
def test_parse_of_build_is_the_same(device, channel):
    """What is built is parsed to the same."""
    assert topics.parse(topics.build(device, channel)) == topics.Topic(device, channel)


@given(DEVICES, st.integers(0, 10**15 - 1))
def test_frame_carries_its_time(device, ms):
    """A frame's topic holds the capture time."""
    assert topics.parse(topics.build(device, "frame", ms)) == topics.Topic(device, "frame", ms)


@given(st.text(max_size=80))
def test_parse_of_anything_raises_topic_error_alone(text):
    """No text makes the parser fail in another way."""
    try:
        parsed = topics.parse(text)
    except TopicError:
        return
    assert topics.build(parsed.device, parsed.channel, parsed.time_ms).split("/")[:3] == text.split("/")[:3]


@pytest.mark.parametrize("device", ["", "+", "#", "a/b", "-a", "a" * 65, "đèn", "a b", "a\n", "a\x00"])
def test_build_refuses_a_device_id(device):
    """Wildcards, separators and foreign letters cannot be device ids."""
    with pytest.raises(TopicError):
        topics.build(device, "telemetry")


@pytest.mark.parametrize(
    "topic",
    [
        "ioc/a/frame",
        "ioc/a/frame/x",
        "ioc/a/frame/²",
        "ioc/a/frame/-1",
        "ioc/a/command/x",
        "ioc/a",
        "x/a/state",
        "ioc/a/state/",
    ],
)
def test_parse_refuses(topic):
    """Near misses are refused with the expected form."""
    with pytest.raises(TopicError, match="expected"):
        topics.parse(topic)


def test_only_frames_carry_a_time():
    """A state with a time, and a frame without one, are programming errors."""
    with pytest.raises(TopicError):
        topics.build("a", "state", 1)
    with pytest.raises(TopicError):
        topics.build("a", "frame")


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/+", True),
        ("a/+", "a/b/c", False),
        ("a/+", "a/#", False),
        ("a/b", "a/+", False),
        ("a/#", "a", True),
        ("a/#", "a/+/c", True),
        ("#", "a/#", True),
        ("+/b/#", "a/b/c/d", True),
        ("a/b/c", "a/b", False),
    ],
)
def test_covers(wide, narrow, expected):
    """One filter covers another when all that the other matches is matched by it."""
    assert topics.covers(wide, narrow) is expected


@pytest.mark.parametrize("topic", ["a", "hall/lamp", "đèn/hẻm 12", "/a", "a//b", "a$b"])
def test_exact_topics(topic):
    """They name one topic, whatever is in it."""
    assert topics.is_exact(topic)


@pytest.mark.parametrize(
    "topic",
    ["", "#", "a/+", "a+b", "$SYS/x", "$share/g/a", "a\0", "a\n", "a\x7f", "\ud800", "a\ufffe", "\ufdd0", "x" * 501],
)
def test_topics_that_name_others_or_end_the_connection(topic):
    """Wildcards, the broker's own, and what a broker hangs up for."""
    assert not topics.is_exact(topic)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/+", "+/b", True),
        ("a/+", "+/b/c", False),
        ("a/#", "a", True),
        ("a/#", "+/b/c", True),
        ("a/#", "b/#", False),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("a/+/c", "a/b/+", True),
        ("a/+/c", "a/b/d", False),
    ],
)
def test_overlap(one, other, expected):
    """Two filters overlap when a message could arrive for both, whichever is asked first."""
    assert topics.overlap(one, other) is expected
    assert topics.overlap(other, one) is expected


LEVELS = st.lists(st.sampled_from(["a", "b", "+", ""]), min_size=1, max_size=4)
FILTERS = st.tuples(LEVELS, st.booleans()).map(lambda made: "/".join([*made[0], *(["#"] if made[1] else [])]))
NAMES = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=5).map("/".join)


@given(FILTERS, FILTERS, NAMES)
def test_overlap_misses_no_topic(one, other, topic):
    """A topic that both filters match proves that they overlap."""
    if topics.matches(one, topic) and topics.matches(other, topic):
        assert topics.overlap(one, other)


@given(FILTERS, FILTERS)
def test_covers_is_an_overlap(wide, narrow):
    """A filter within another overlaps it."""
    assert not topics.covers(wide, narrow) or topics.overlap(wide, narrow)


@pytest.mark.parametrize("text", ["a", "a/+/c", "a/#", "#", "+", "/a", "nhà/phòng khách/nhiệt độ"])
def test_check_filter_takes(text):
    """Filters as MQTT has them."""
    topics.check_filter(text)


@pytest.mark.parametrize(
    "text", ["", "a+/b", "a/#/b", "a#", "$SYS/#", "$share/g/a", "a\0", "a\nb", "x" * 301, "\u202ea"]
)
def test_check_filter_refuses(text):
    """What is no filter, what hides something, and what is the broker's own."""
    with pytest.raises(TopicError):
        topics.check_filter(text)
