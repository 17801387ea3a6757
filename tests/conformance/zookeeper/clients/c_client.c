// What a program on the C client (libzookeeper_mt) does with a ZooKeeper server: prints what it sees. The test runs it against Apache's server and
// ours and compares.
#define THREADED
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zookeeper/zookeeper.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int connected = 0;
static int events = 0;
static char heard[16][128];

static void on_event(zhandle_t *zh, int type, int state, const char *path, void *context) {
  pthread_mutex_lock(&mutex);
  if (type == ZOO_SESSION_EVENT) {
    if (state == ZOO_CONNECTED_STATE) connected++;
  } else {
    snprintf(heard[events++ % 16], sizeof heard[0], "event %d %s", type, path);
  }
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static void wait_for(int *counter, int value) {
  pthread_mutex_lock(&mutex);
  while (*counter < value) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
}

static void async_done(int rc, const struct Stat *stat, const void *data) {
  pthread_mutex_lock(&mutex);
  (*(int *)data)++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

int main(int argc, char **argv) {
  char host[64], path[256], data[256];
  struct Stat stat;
  snprintf(host, sizeof host, "127.0.0.1:%s", argv[1]);
  zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
  zhandle_t *zh = zookeeper_init(host, on_event, 5000, NULL, NULL, 0);
  wait_for(&connected, 1);
  printf("timeout %d\n", zoo_recv_timeout(zh));

  printf("create %d %s\n", zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path), path);
  printf("again %d\n", zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path));
  printf("create2 %d", zoo_create2(zh, "/c/two", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, path, sizeof path, &stat));
  printf(" %s %d %d\n", path, stat.version, stat.ephemeralOwner == zoo_client_id(zh)->client_id);
  printf("null data %d\n", zoo_create(zh, "/c/null", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path));
  int length = sizeof data;
  printf("get null %d", zoo_get(zh, "/c/null", 0, data, &length, &stat));
  printf(" length %d\n", length);
  printf("sequence %d %s\n", zoo_create(zh, "/c/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, path, sizeof path), path);
  printf("container %d %s\n", zoo_create(zh, "/c/cont", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_CONTAINER, path, sizeof path), path);
  printf("ttl %d %s\n", zoo_create_ttl(zh, "/c/ttl", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, 60000, path, sizeof path), path);

  length = sizeof data;
  printf("get %d", zoo_wget(zh, "/c", on_event, NULL, data, &length, &stat));
  printf(" %.*s version %d children %d\n", length, data, stat.version, stat.numChildren);
  printf("exists %d\n", zoo_wexists(zh, "/c/later", on_event, NULL, &stat));
  struct String_vector names;
  struct Stat stat2;
  printf("children %d", zoo_wget_children2(zh, "/c/two", on_event, NULL, &names, &stat2));
  printf(" %d\n", names.count);
  printf("set %d", zoo_set2(zh, "/c", "changed", 7, 0, &stat));
  printf(" version %d\n", stat.version);
  wait_for(&events, 1);
  printf("%s\n", heard[0]);
  printf("bad version %d\n", zoo_set(zh, "/c", "x", 1, 7));
  printf("create later %d\n", zoo_create(zh, "/c/later", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path));
  wait_for(&events, 2);
  printf("%s\n", heard[1]);
  printf("delete two %d\n", zoo_delete(zh, "/c/two", -1));
  wait_for(&events, 3);
  printf("%s\n", heard[2]);

  zoo_op_t ops[4];
  zoo_op_result_t results[4];
  zoo_check_op_init(&ops[0], "/c", 1);
  zoo_create_op_init(&ops[1], "/c/m", "m", 1, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path);
  zoo_set_op_init(&ops[2], "/c/m", "mm", 2, 0, &stat);
  zoo_delete_op_init(&ops[3], "/c/later", -1);
  printf("multi %d", zoo_multi(zh, 4, ops, results));
  printf(" %d %d %d %d version %d\n", results[0].err, results[1].err, results[2].err, results[3].err, stat.version);
  printf("failed multi %d", zoo_multi(zh, 4, ops, results));
  printf(" %d %d %d %d\n", results[0].err, results[1].err, results[2].err, results[3].err);

  printf("auth %d\n", zoo_add_auth(zh, "digest", "me:word", 7, NULL, NULL));
  printf("acl create %d\n", zoo_create(zh, "/c/acl", "", 0, &ZOO_CREATOR_ALL_ACL, 0, path, sizeof path));
  struct ACL_vector acl;
  printf("get acl %d", zoo_get_acl(zh, "/c/acl", &acl, &stat));
  printf(" %d %s %s\n", acl.count, acl.data[0].id.scheme, acl.data[0].id.id);
  printf("set acl %d\n", zoo_set_acl(zh, "/c/acl", -1, &ZOO_READ_ACL_UNSAFE));
  printf("denied %d\n", zoo_set(zh, "/c/acl", "x", 1, -1));

  // Many requests on the way at once keep their order.
  int finished = 0;
  for (int i = 0; i < 500; i++) zoo_aset(zh, "/c", "pipelined", 9, -1, async_done, &finished);
  wait_for(&finished, 500);
  zoo_exists(zh, "/c", 0, &stat);
  printf("pipelined to version %d\n", stat.version);

  printf("zk_exists %d\n", zoo_exists(zh, "/c/ttl", 0, &stat));
  const char *left[] = {"/c/null", "/c/s-0000000002", "/c/cont", "/c/ttl", "/c/m", "/c/acl", "/c"};
  for (int i = 0; i < 7; i++) printf("delete %s %d\n", left[i], zoo_delete(zh, left[i], -1));
  printf("close %d\n", zookeeper_close(zh));
  printf("done\n");
  return 0;
}
