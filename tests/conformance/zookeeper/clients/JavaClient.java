// What a program on Apache's Java client does with a ZooKeeper server that older clients cannot: multiRead, persistent and recursive watches,
// containers, TTL nodes, counts. Prints what it sees; the test runs it against Apache's server and ours and compares.
import java.io.DataOutputStream;
import java.net.Socket;
import java.util.*;
import java.util.concurrent.*;
import org.apache.zookeeper.*;
import org.apache.zookeeper.data.*;

public class JavaClient {
  static final LinkedBlockingQueue<String> events = new LinkedBlockingQueue<>();

  static void say(Object... parts) {
    StringBuilder line = new StringBuilder();
    for (Object part : parts) line.append(line.length() == 0 ? "" : " ").append(part);
    System.out.println(line);
  }

  static void hear(String label, int count) throws Exception {
    List<String> heard = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      String event = events.poll(10, TimeUnit.SECONDS);
      heard.add(event == null ? "nothing" : event);
    }
    Collections.sort(heard);
    say(label, heard);
  }

  interface Call {
    Object run() throws Exception;
  }

  static void refused(String label, Call call) throws Exception {
    try {
      say(label, "was allowed", call.run());
    } catch (KeeperException e) {
      say(label, e.code());
    }
  }

  /** Somebody else resumes the session, upon which the server closes the connection of `zk`. */
  static void takeConnectionFrom(ZooKeeper zk, int port) throws Exception {
    try (Socket socket = new Socket("127.0.0.1", port)) {
      DataOutputStream out = new DataOutputStream(socket.getOutputStream());
      out.writeInt(45);
      out.writeInt(0);
      out.writeLong(0);
      out.writeInt(5000);
      out.writeLong(zk.getSessionId());
      out.writeInt(16);
      out.write(zk.getSessionPasswd());
      out.writeBoolean(false);
      out.flush();
      socket.getInputStream().read();
    }
  }

  static ZooKeeper connect(String port, Watcher watcher) throws Exception {
    CountDownLatch up = new CountDownLatch(1);
    ZooKeeper zk = new ZooKeeper("127.0.0.1:" + port, 5000, event -> {
      if (event.getState() == Watcher.Event.KeeperState.SyncConnected) up.countDown();
      if (watcher != null) watcher.process(event);
    });
    if (!up.await(20, TimeUnit.SECONDS)) throw new Exception("not connected");
    return zk;
  }

  public static void main(String[] args) throws Exception {
    ZooKeeper a = connect(args[0], null);
    ZooKeeper b = connect(args[0], null);
    List<ACL> open = ZooDefs.Ids.OPEN_ACL_UNSAFE;
    a.create("/j", "one".getBytes(), open, CreateMode.PERSISTENT);
    a.create("/j/child", "two".getBytes(), open, CreateMode.PERSISTENT);
    a.create("/j/null", null, open, CreateMode.PERSISTENT);
    say("null data", b.getData("/j/null", false, null) == null);

    for (OpResult result : b.multi(Arrays.asList(Op.getData("/j"), Op.getChildren("/j"), Op.getData("/none"), Op.getChildren("/j/child")))) {
      if (result instanceof OpResult.GetDataResult) {
        OpResult.GetDataResult data = (OpResult.GetDataResult) result;
        say("multiRead data", new String(data.getData()), data.getStat().getNumChildren());
      } else if (result instanceof OpResult.GetChildrenResult) {
        List<String> names = new ArrayList<>(((OpResult.GetChildrenResult) result).getChildren());
        Collections.sort(names);
        say("multiRead children", names);
      } else {
        say("multiRead error", ((OpResult.ErrorResult) result).getErr());
      }
    }

    Watcher persistent = event -> events.add("persistent " + event.getType() + " " + event.getPath());
    Watcher recursive = event -> events.add("recursive " + event.getType() + " " + event.getPath());
    b.addWatch("/j", persistent, AddWatchMode.PERSISTENT);
    b.addWatch("/j/child", recursive, AddWatchMode.PERSISTENT_RECURSIVE);
    a.setData("/j", "x".getBytes(), -1);
    a.setData("/j", "y".getBytes(), -1);
    hear("twice", 2);
    a.create("/j/other", new byte[0], open, CreateMode.EPHEMERAL);
    hear("child", 1);
    a.create("/j/child/deep", new byte[0], open, CreateMode.PERSISTENT);
    a.create("/j/child/deep/er", new byte[0], open, CreateMode.PERSISTENT);
    a.setData("/j/child/deep/er", "z".getBytes(), -1);
    a.delete("/j/child/deep/er", -1);
    a.delete("/j/child/deep", -1);
    hear("deep", 5);
    b.removeWatches("/j", persistent, Watcher.WatcherType.Any, false);
    a.setData("/j", "silent".getBytes(), -1);
    a.setData("/j/child", "loud".getBytes(), -1);
    hear("removed", 2);
    refused("no watcher", () -> {
      b.removeWatches("/j/none", persistent, Watcher.WatcherType.Data, false);
      return null;
    });

    // Watches of all kinds come back after a broken connection (setWatches2), and so does what happened meanwhile.
    Watcher once = event -> {
      if (event.getType() == Watcher.Event.EventType.None) return;
      events.add("once " + event.getType() + " " + event.getPath());
    };
    a.create("/j/null/deleted", new byte[0], open, CreateMode.PERSISTENT);
    b.getData("/j", once, null);
    b.exists("/j/later", once);
    b.getChildren("/j/null", once);
    b.getData("/j/null/deleted", once, null);
    b.getData("/j/null", once, null);
    b.addWatch("/j/null", once, AddWatchMode.PERSISTENT_RECURSIVE);
    long session = b.getSessionId();
    takeConnectionFrom(b, Integer.parseInt(args[0]));
    a.setData("/j", "meanwhile".getBytes(), -1);
    a.create("/j/later", new byte[0], open, CreateMode.PERSISTENT);
    a.delete("/j/null/deleted", -1);
    while (true) {
      try {
        say("back", b.getData("/j/later", false, null).length, b.getSessionId() == session);
        break;
      } catch (KeeperException.ConnectionLossException e) {
        Thread.sleep(50);
      }
    }
    hear("meanwhile", 4);
    a.setData("/j/null", "again".getBytes(), -1);
    hear("still there", 1);
    b.close();
    events.clear();

    Stat stat = new Stat();
    say("container", a.create("/j/cont", new byte[0], open, CreateMode.CONTAINER, stat), stat.getVersion());
    say("ttl", a.create("/j/ttl", new byte[0], open, CreateMode.PERSISTENT_WITH_TTL, stat, 60000), stat.getVersion());
    say("ttl sequential", a.create("/j/ttl-", new byte[0], open, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, stat, 60000));
    say("ephemerals", a.getEphemerals("/j"), a.getEphemerals("/none"));
    say("count", a.getAllChildrenNumber("/j"), a.getAllChildrenNumber("/"));
    a.addAuthInfo("digest", "me:word".getBytes());
    say("who", a.whoAmI());
    a.create("/j/mine", new byte[0], ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
    say("acl", a.getACL("/j/mine", stat));
    ZooKeeper c = connect(args[0], null);
    refused("not mine", () -> c.getData("/j/mine", false, null));
    refused("not mine's acl", () -> c.getACL("/j/mine", stat));

    Transaction t = a.transaction();
    t.check("/j/child", 1).create("/j/t", new byte[0], open, CreateMode.PERSISTENT).setData("/j/t", "t".getBytes(), 0).delete("/j/null", -1);
    for (OpResult result : t.commit()) say("multi", result.getType(), result.getClass().getSimpleName());
    refused("failed multi", () -> a.multi(Arrays.asList(Op.delete("/j/t", -1), Op.check("/j/child", 77), Op.delete("/j/child", -1))));
    say("config", new String(a.getConfig(false, stat)).length());
    for (String path : new String[] {"/j/mine", "/j/t", "/j/cont", "/j/ttl", "/j/child"}) a.delete(path, -1);
    for (String name : a.getChildren("/j", false)) a.delete("/j/" + name, -1);
    a.delete("/j", -1);
    a.close();
    c.close();
    say("done");
  }
}
