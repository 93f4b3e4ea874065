-- What version 3 of the store wrote. Never edited: files like it exist.
PRAGMA application_id = 1312899633;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, entry TEXT NOT NULL);
INSERT INTO "audit" VALUES(1,1775034000000000,'{"at":"2026-04-01T09:00:00Z","event":"clicked","request":"111122223333/ap-northeast-1/oi-000000000001","step":"Level1","verb":"approve","person":"aaaaaaaa-0000-4000-8000-900000000001","person_name":"佐藤 花子","tenant":"11111111-1111-4111-8111-111111111111","conversation":"19:approvers@thread.tacv2","outcome":"applying","detail":""}');
CREATE TABLE personal_chats (object_id TEXT PRIMARY KEY, chat TEXT NOT NULL);
INSERT INTO "personal_chats" VALUES('aaaaaaaa-0000-4000-8000-900000000001','{"person":{"object_id":"aaaaaaaa-0000-4000-8000-900000000001","tenant_id":"11111111-1111-4111-8111-111111111111","name":"佐藤 花子","upn":"hanako.sato@example.com","mail":"hanako.sato@example.com","teams_id":"29:1-sato-hanako","guest":false},"conversation":"a:1","service_url":"https://smba.trafficmanager.net/jp/"}');
CREATE TABLE requests (
            key TEXT PRIMARY KEY,
            ops_item_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            created_at INTEGER NOT NULL,
            watched INTEGER NOT NULL,
            next_look_at INTEGER,
            record TEXT NOT NULL
        , expires_at INTEGER);
INSERT INTO "requests" VALUES('111122223333/ap-northeast-1/oi-000000000001','oi-000000000001',3,1775034000000000,1,1775034000000000,'{"key":{"account":"111122223333","region":"ap-northeast-1","ops_item_id":"oi-000000000001"},"created_at":"2026-04-01T09:00:00Z","version":3,"request":{"key":{"account":"111122223333","region":"ap-northeast-1","ops_item_id":"oi-000000000001"},"status":"pending","requester":"arn:aws:sts::111122223333:assumed-role/Operator/taro.yamada@example.com","node":{"id":"i-02999bd501754105a","name":"web-prod-01","platform":"Linux/UNIX","private_ip":"10.0.1.23","tags":[["Environment","production"]]},"reason":"決済 API の 5xx が増えたため調査します","requested_at":"2026-04-01T09:00:00Z","modified_at":"2026-04-01T09:00:00Z","policy":"E-commerce-Manual-Approval-Policy","policy_version":null,"duration":"PT4H","access_from":null,"access_until":null,"execution_id":"00000001-4685-449f-90cc-49d24139dbe9","levels":[{"step":"Level1","state":"waiting","required":1,"approvers":[{"kind":"role","id":"arn:aws:iam::111122223333:role/NodeAccessApprover"}],"votes":[],"started_at":"2026-04-01T09:00:00Z","ended_at":null,"timeout":"P7D"}],"auto_approved":false,"replica_of":null,"conflicting_policies":[],"complete":true},"requester":{"principal":{"text":"arn:aws:sts::111122223333:assumed-role/Operator/taro.yamada@example.com","kind":"session","role":"Operator","session":"taro.yamada@example.com"},"placed":true,"spellings":["taro.yamada@example.com","aaaaaaaa-0000-4000-8000-900000000006","29:1-yamada-taro","arn:aws:sts::111122223333:assumed-role/operator/taro.yamada@example.com"],"person":{"object_id":"aaaaaaaa-0000-4000-8000-900000000006","tenant_id":"11111111-1111-4111-8111-111111111111","name":"山田 太郎","upn":"taro.yamada@example.com","mail":"taro.yamada@example.com","teams_id":"29:1-yamada-taro","guest":false},"name":"山田 太郎"},"observed_at":"2026-04-01T09:00:00Z","observed_from":0,"looks_failed":0,"conflicting_policies":[],"route":{"channel":"approvals","conversation":"19:approvers@thread.tacv2","settled":true},"decisions":[{"id":"d1","person":{"object_id":"aaaaaaaa-0000-4000-8000-900000000001","tenant_id":"11111111-1111-4111-8111-111111111111","name":"佐藤 花子","upn":"hanako.sato@example.com","mail":"hanako.sato@example.com","teams_id":"29:1-sato-hanako","guest":false},"verdict":"approve","step":"Level1","clicked_at":"2026-04-01T09:00:00Z","held_until":"2026-04-01T09:00:00Z","comment":"確認しました","conversation":"19:approvers@thread.tacv2","state":"claimed","settled_at":null,"settled_in":0,"outcome":null,"role":null,"execution_id":null,"announced":false,"detail":""}],"surfaces":[{"name":"card:approvals","kind":"card","delivery":"delivered","conversation":"19:approvers@thread.tacv2;messageid=1","activity_id":"1","digest":"0000000000000000000000000000000000000000000000000000000000000000","attempts":1,"lost":0,"problem":null}],"lease":{"owner":"replica-1","until":"2026-04-01T09:00:00Z"},"next_look_at":"2026-04-01T09:00:00Z"}',NULL);
INSERT INTO "requests" VALUES('111122223333/ap-northeast-1/oi-000000000002','oi-000000000002',1,1775034000000000,0,NULL,'{"key":{"account":"111122223333","region":"ap-northeast-1","ops_item_id":"oi-000000000002"},"created_at":"2026-04-01T09:00:00Z","version":1,"request":{"key":{"account":"111122223333","region":"ap-northeast-1","ops_item_id":"oi-000000000002"},"status":"rejected","requester":"arn:aws:sts::111122223333:assumed-role/Operator/taro.yamada@example.com","node":{"id":"i-02999bd501754105a","name":"web-prod-01","platform":"Linux/UNIX","private_ip":"10.0.1.23","tags":[["Environment","production"]]},"reason":"決済 API の 5xx が増えたため調査します","requested_at":"2026-04-01T09:00:00Z","modified_at":"2026-04-01T09:00:00Z","policy":"E-commerce-Manual-Approval-Policy","policy_version":null,"duration":"PT4H","access_from":null,"access_until":null,"execution_id":"00000001-4685-449f-90cc-49d24139dbe9","levels":[{"step":"Level1","state":"waiting","required":1,"approvers":[{"kind":"role","id":"arn:aws:iam::111122223333:role/NodeAccessApprover"}],"votes":[],"started_at":"2026-04-01T09:00:00Z","ended_at":null,"timeout":"P7D"}],"auto_approved":false,"replica_of":null,"conflicting_policies":[],"complete":true},"requester":{"principal":{"text":"arn:aws:sts::111122223333:assumed-role/Operator/taro.yamada@example.com","kind":"session","role":"Operator","session":"taro.yamada@example.com"},"placed":true,"spellings":["taro.yamada@example.com","aaaaaaaa-0000-4000-8000-900000000006","29:1-yamada-taro","arn:aws:sts::111122223333:assumed-role/operator/taro.yamada@example.com"],"person":{"object_id":"aaaaaaaa-0000-4000-8000-900000000006","tenant_id":"11111111-1111-4111-8111-111111111111","name":"山田 太郎","upn":"taro.yamada@example.com","mail":"taro.yamada@example.com","teams_id":"29:1-yamada-taro","guest":false},"name":"山田 太郎"},"observed_at":"2026-04-01T09:00:00Z","observed_from":0,"looks_failed":0,"conflicting_policies":[],"route":{"channel":"approvals","conversation":"19:approvers@thread.tacv2","settled":true},"decisions":[],"surfaces":[{"name":"card:approvals","kind":"card","delivery":"delivered","conversation":"19:approvers@thread.tacv2;messageid=1","activity_id":"1","digest":"0000000000000000000000000000000000000000000000000000000000000000","attempts":1,"lost":0,"problem":null}],"lease":null,"next_look_at":null}',1806570000000000);
CREATE TABLE service_urls (conversation TEXT PRIMARY KEY, service_url TEXT NOT NULL);
INSERT INTO "service_urls" VALUES('19:approvers@thread.tacv2','https://smba.trafficmanager.net/jp/');
CREATE TABLE sweep_leases (
            account TEXT NOT NULL, region TEXT NOT NULL, owner TEXT NOT NULL, until INTEGER NOT NULL,
            PRIMARY KEY (account, region)
        );
INSERT INTO "sweep_leases" VALUES('111122223333','ap-northeast-1','replica-1',1775034090000000);
CREATE TABLE watermarks (
            account TEXT NOT NULL, region TEXT NOT NULL, moment INTEGER NOT NULL, PRIMARY KEY (account, region)
        );
INSERT INTO "watermarks" VALUES('111122223333','ap-northeast-1',1775034000000000);
CREATE INDEX requests_due ON requests (next_look_at, key) WHERE next_look_at IS NOT NULL;
CREATE INDEX requests_ops_item ON requests (ops_item_id);
CREATE INDEX audit_at ON audit (at, id);
CREATE INDEX requests_watched ON requests (created_at, key) WHERE watched;
CREATE INDEX requests_expired ON requests (expires_at) WHERE expires_at IS NOT NULL;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
        WHEN OLD.at > (SELECT max(at) FROM audit) - 34560000000000
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',1);
COMMIT;
