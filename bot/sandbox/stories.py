"""What a person can try in the sandbox: for each story, the request that begins it, and what it shows.

Owns the texts only. The nodes and their policies are in `bot.sandbox.aws.world`, the people in
`bot.sandbox.teams.people`.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MACHINE: Final = "deploy-agent-7"  # a session name of no person: the bot cannot identify such a requester


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One request. `by` is the requester as `sandbox request --as` takes it; empty: the default."""

    node: str
    shows: str
    reasons: Mapping[str, str]  # by the language of the sandbox
    by: str = ""

    def command(self, program: str, locale: str) -> str:
        """Return the command line that makes the request, for a shell."""
        options = ["--node", self.node, *(["--as", self.by] if self.by else []), "--reason", self.reasons[locale]]
        return f"{program} sandbox request {shlex.join(options)}"


FIRST: Final = Story(
    node="web-prod-01",
    shows="one level",
    reasons={
        "en": "Checkout answers HTTP 502. I need the nginx log. Ticket INC-20481",
        "ja": "決済 API の 5xx が増えたため調査します。チケット INC-20481",
    },
)
MORE: Final = (
    Story(
        node="db-prod-01",
        shows="two levels for two people: approve the first on one page, the second on a colleague's",
        reasons={"en": "Slow queries on orders, INC-20482", "ja": "受注テーブルの遅いクエリを調べます。INC-20482"},
    ),
    Story(
        node="cache-stg-01",
        shows="expires after a minute without a decision; if you approve it, the access ends after a minute",
        reasons={"en": "Flush the cache", "ja": "キャッシュを消去します"},
    ),
    Story(
        node="web-prod-01",
        by="hanako.sato",
        shows="the approver's own request: others decide it",
        reasons={"en": "Rotate the TLS certificate", "ja": "TLS 証明書を更新します"},
    ),
    Story(
        node="web-prod-01",
        by=MACHINE,
        shows="an unidentified requester: nobody can decide it in Teams",
        reasons={"en": "Nightly deployment", "ja": "夜間デプロイ"},
    ),
    Story(
        node="factory-gw-osaka",
        shows="a hybrid node, one level",
        reasons={"en": "Replace the firmware", "ja": "ファームウェアを更新します"},
    ),
    Story(
        node="batch-01",
        shows="two policies apply: the request fails, and the card says why",
        reasons={"en": "Restart the batch job", "ja": "バッチを再実行します"},
    ),
    Story(
        node="web-dev-01",
        shows="approved automatically: no card",
        reasons={"en": "Try the new release", "ja": "新しいリリースを試します"},
    ),
    Story(
        node="bastion-01",
        shows="no policy applies: AWS refuses the request",
        reasons={"en": "Add an SSH key", "ja": "SSH キーを追加します"},
    ),
)
