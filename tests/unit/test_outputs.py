"""What tasks put out, as pages of the admin show it: secrets masked, parts apart."""

from __future__ import annotations

import pytest

from access_app.staff.outputs import MASK, masked, pretty, readable, summary, take_apart


class TestMasked:
    @pytest.mark.parametrize(
        "name", ["Authorization", "Set-Cookie", "PGPASSWORD", "api_key", "X-Api-Key", "clientSecret", "access_token"]
    )
    def test_hides_texts_under_names_of_secrets(self, name: str) -> None:
        assert masked({"headers": {name: "hunter2", "Accept": "a"}}) == {"headers": {name: MASK, "Accept": "a"}}

    def test_hides_every_text_below_such_a_name(self) -> None:
        assert masked({"secrets": {"a": ["x", {"b": "y"}]}}) == {"secrets": {"a": [MASK, {"b": MASK}]}}

    def test_hides_credentials_in_urls(self) -> None:
        assert masked({"url": "https://joe:pw@example.com/a"}) == {"url": f"https://joe:{MASK}@example.com/a"}
        assert summary("curl  https://joe:pw@example.com\n") == f"curl https://joe:{MASK}@example.com"
        assert masked({"argv": ["curl", "/x?token=t&y=1"]}) == {"argv": ["curl", f"/x?token={MASK}&y=1"]}

    def test_leaves_numbers_and_the_rest_alone(self) -> None:
        value = {"tokens": 3, "note": "a: b@c", "items": [1, None, True]}
        assert masked(value) == value


class TestTakeApart:
    def test_puts_captured_output_into_panels_with_their_flags(self) -> None:
        output = take_apart({"exitCode": 2, "signal": None, "stdout": "a\n", "stderr": "", "stdoutTruncated": True})
        assert output.facts == [("exitCode", "2")]
        assert [(panel.title, panel.text, panel.truncated) for panel in output.panels] == [("stdout", "a\n", True)]

    def test_shows_results_of_any_shape(self) -> None:
        assert take_apart(None).panels == []
        assert take_apart([1]).panels[0].text == pretty([1])
        output = take_apart({"statusCode": 200, "headers": {"set-cookie": "x"}, "ok": True, "long": "y" * 200})
        assert output.facts == [("statusCode", "200"), ("ok", "true")]
        assert [panel.title for panel in output.panels] == ["headers", "long"]
        assert "x" not in output.panels[0].text.replace("set-cookie", "")


class TestReadable:
    def test_drops_what_steers_terminals(self) -> None:
        assert readable("\x1b[31mred\x1b[0m \x1b]0;title\x07x\r\ny\x07") == "red x\ny\x07"

    def test_lays_out_json_and_masks_it(self) -> None:
        assert readable('{"token": "t"}') == f'{{\n  "token": "{MASK}"\n}}'

    def test_shows_nothing_of_what_is_too_deep_to_be_masked(self) -> None:
        assert "hush" not in readable("[" * 900 + '{"password": "hush"}' + "]" * 900)

    @pytest.mark.parametrize("text", ["{broken", "[" * 5000, "[1] trailing"])
    def test_shows_what_only_looks_like_json_as_it_is(self, text: str) -> None:
        assert readable(text) == text
