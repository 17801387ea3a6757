// The package has no types of its own. What we use of it is described in `zookeeper-session.ts`.
declare module "node-zookeeper-client" {
  const zookeeper: import("./zookeeper-session.ts").ZookeeperLibrary;
  export default zookeeper;
}
