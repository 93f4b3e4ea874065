"""The sample people, texts and tags in Japanese. The samples themselves are in English."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

from bot.rendering.gallery import sample as english

JAPANESE: Final[Mapping[str, str]] = {
    english.REQUESTER: "山田 太郎",
    english.PRINCIPAL: "arn:aws:sts::111122223333:assumed-role/Operator/taro.yamada@example.com",
    english.REQUESTER_SESSION: "taro.yamada@example.com",
    english.APPROVER: "田中 一郎",
    english.APPROVER_SESSION: "ichiro.tanaka@example.com",
    english.OTHER_REQUESTER: "鈴木 芽依",
    english.REASON: "@田中 一郎 決済 API の 5xx が増えたため調査します。*至急* [チケット](https://example.com/INC-20481)",
    english.LONG_REASON: "カードに表示できる行数よりも長い申請理由です。\n" * 20,
    english.TYPED: "INC-20481 を確認しました。",
    english.APPROVED_BECAUSE: "INC-20481 を確認しました。作業後に報告をお願いします。",
    english.REJECTED_BECAUSE: "先にステージング環境で再現を確認してください。",
    english.REVOKED_BECAUSE: "対応が終わったため取り消します。",
    english.OWNER: "決済チーム",
}


def in_japanese(value: Any) -> Any:
    """Return a sample, or a part of it, with the texts of JAPANESE instead of the English ones."""
    if isinstance(value, str):
        return JAPANESE.get(value, value)
    if isinstance(value, tuple):
        return tuple(in_japanese(each) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: in_japanese(getattr(value, each.name)) for each in fields(value)})
    return value
