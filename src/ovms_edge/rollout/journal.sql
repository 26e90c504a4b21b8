CREATE TABLE IF NOT EXISTS rollouts (
    id TEXT PRIMARY KEY,
    plan BLOB NOT NULL,
    inventory TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    clock REAL NOT NULL,
    forgiven INTEGER NOT NULL,
    back_began REAL,
    started TEXT NOT NULL,
    updated TEXT NOT NULL,
    ended TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS waves (
    rollout TEXT NOT NULL REFERENCES rollouts (id),
    number INTEGER NOT NULL,
    course TEXT NOT NULL,
    started TEXT,
    ended TEXT,
    PRIMARY KEY (rollout, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stores (
    rollout TEXT NOT NULL REFERENCES rollouts (id),
    store TEXT NOT NULL,
    since TEXT NOT NULL,
    progress TEXT NOT NULL,
    PRIMARY KEY (rollout, store)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (
    seq INTEGER PRIMARY KEY,
    rollout TEXT NOT NULL REFERENCES rollouts (id),
    at TEXT NOT NULL,
    store TEXT,
    wave INTEGER,
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    reason TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS history_of_rollout ON history (rollout, seq);
CREATE TABLE IF NOT EXISTS commands (
    seq INTEGER PRIMARY KEY,
    rollout TEXT NOT NULL REFERENCES rollouts (id),
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    command TEXT NOT NULL,
    done TEXT
) STRICT;
