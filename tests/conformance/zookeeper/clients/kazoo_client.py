# What a program on kazoo does with a ZooKeeper server: prints what it sees. The test runs it against Apache's server and ours and compares.
import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    InvalidACLError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
)
from kazoo.protocol.states import KazooState
from kazoo.recipe.lock import Lock
from kazoo.security import make_acl, make_digest_acl

hosts = "127.0.0.1:%s" % sys.argv[1]


def say(*parts):
    print(*parts, flush=True)


def refused(label, error, call):
    try:
        say(label, "was allowed:", call())
    except error as e:
        say(label, type(e).__name__)


def client(**options):
    c = KazooClient(hosts=hosts, timeout=4, **options)
    c.start(timeout=20)
    return c


a = client()
b = client()
say("version", a.server_version()[:2], a.command(b"ruok"))

# nodes
say(a.create("/k", b"one"), a.ensure_path("/k/deep/er"), a.create("/k/eph", b"", ephemeral=True))
say([a.create("/k/seq-", b"", sequence=True, ephemeral=i % 2 == 0) for i in range(4)])
refused("exists", NodeExistsError, lambda: a.create("/k"))
refused("no parent", NoNodeError, lambda: a.create("/none/x"))
refused("below ephemeral", NoChildrenForEphemeralsError, lambda: a.create("/k/eph/x"))
refused("not empty", NotEmptyError, lambda: a.delete("/k"))
data, stat = b.get("/k")
say(data, stat.version, stat.cversion, stat.numChildren, stat.dataLength, stat.ephemeralOwner)
say(a.set("/k", b"two").version, b.get("/k")[0], sorted(b.get_children("/k")))
refused("version", BadVersionError, lambda: a.set("/k", b"x", version=7))
say(a.exists("/nowhere"), b.exists("/k/eph").ephemeralOwner == a.client_id[0])
say(a.get_children("/k", include_data=True)[1].numChildren, a.sync("/k"))
big = bytes(range(256)) * 3000
a.create("/k/big", big)
say("big", b.get("/k/big")[0] == big)
a.create("/k/große ☃", "naïve".encode())
say(b.get("/k/große ☃")[0].decode())

# watches
seen = []
heard = threading.Semaphore(0)


def note(event):
    seen.append((event.type, event.path))
    heard.release()


def hear(count):
    for _ in range(count):
        assert heard.acquire(timeout=10), seen
    say(sorted(seen))
    seen.clear()


b.get("/k", watch=note)
b.exists("/k/new", watch=note)
b.get_children("/k", watch=note)
a.set("/k", b"three")
a.create("/k/new", b"")
hear(3)
values = []
changed = threading.Event()


@b.DataWatch("/k/watched")
def watched(data, stat):
    values.append(None if data is None else data.decode())
    if data == b"2":
        changed.set()


a.create("/k/watched", b"1")
a.set("/k/watched", b"2")
say("data watch ended with", changed.wait(10) and values[-1])

# transactions
t = a.transaction()
t.check("/k", 2)
t.create("/k/t", b"x")
t.set_data("/k/t", b"y")
t.delete("/k/new")
say([getattr(r, "version", r) for r in t.commit()], b.get("/k/t")[0])
t = a.transaction()
t.create("/k/t2", b"x")
t.check("/k", 99)
t.delete("/k/t")
say([type(r).__name__ for r in t.commit()], b.exists("/k/t2"), b.exists("/k/t") is not None)

# access
refused("invalid acl", InvalidACLError, lambda: a.create("/k/bad", acl=[make_acl("odd", "x", all=True)]))
a.create("/k/secret", b"s", acl=[make_digest_acl("me", "word", all=True)])
refused("no auth", NoAuthError, lambda: b.get("/k/secret"))
b.add_auth("digest", "me:word")
say(b.get("/k/secret")[0], [acl.id.id for acl in b.get_acls("/k/secret")[0]])
b.set_acls("/k/secret", [make_digest_acl("me", "word", read=True), make_acl("world", "anyone", read=True)])
refused("read only", NoAuthError, lambda: b.set("/k/secret", b"x"))
say(a.get("/k/secret")[0], a.get_acls("/k/secret")[1].aversion)

# recipes
lock_a, lock_b = Lock(a, "/k/lock", "a"), Lock(b, "/k/lock", "b")
lock_a.acquire()
got = threading.Event()
waiter = threading.Thread(target=lambda: (lock_b.acquire(), got.set()))
waiter.start()
say("lock is held", not got.wait(0.2), "contenders", len(lock_a.contenders()) >= 1)
lock_a.release()
say("lock is handed over", got.wait(10))
lock_b.release()
counter = a.Counter("/k/counter")
counter += 5
say("counter", counter.value)
queue = a.Queue("/k/queue")
queue.put(b"first")
queue.put(b"second")
say("queue", b.Queue("/k/queue").get(), b.Queue("/k/queue").get())

# a broken connection: the same session, the watches set again
b.get("/k", watch=note)
b.exists("/k/later", watch=note)
b.get_children("/k/deep", watch=note)
session = b.client_id[0]
back = threading.Event()
away = threading.Event()


def listener(state):
    if state == KazooState.SUSPENDED:
        away.set()
    if state == KazooState.CONNECTED and away.is_set():
        back.set()


b.add_listener(listener)
b._connection._socket.shutdown(2)
say("away", away.wait(10))
a.set("/k", b"meanwhile")
a.create("/k/later", b"")
a.create("/k/deep/child", b"")
say("back", back.wait(10), b.client_id[0] == session)
hear(3)

# an ended session takes its nodes
a.create("/k/mine", b"", ephemeral=True)
b.exists("/k/mine", watch=note)
a.stop()
a.close()
hear(1)
say(b.exists("/k/eph"), sorted(b.get_children("/k")))
b.delete("/k", recursive=True)
b.stop()
say("done")
