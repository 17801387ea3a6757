// User profiles with unique names. Two people who ask for one name at the same moment cannot both get it: the name's task handles one request at a time, and
// reading the owner and writing it is one event.
//
// Records of *registrations: { userId: "0190…", username: "ada", displayName: "Ada L." }, with an id of the client's making (`Helpers.uuid7()`), so that a
//   registration sent again is the same registration. The append's ack return tells the outcome: { profiles: { registered: true, userId: "0190…" } }.
// Records of *edits: { userId: "0190…", fields: { displayName: "Ada Lovelace", bio: "…" } }
import {
  Block,
  Depot,
  Ops,
  PState,
  Path,
  RamaModule,
  eq,
  isNotNull,
  isNull,
  or,
  record,
  type Setup,
  type Topologies,
} from "rama";

export class ProfilesModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*registrations", Depot.hashBy("username"));
    setup.declareDepot("*edits", Depot.hashBy("userId"));

    const profiles = topologies.stream("profiles");
    // The owner of each name lives where registrations for it arrive; profiles live by user.
    profiles.pstate("$$owners", PState.mapSchema(String, String));
    profiles.pstate(
      "$$profiles",
      PState.mapSchema(String, PState.fixedKeysSchema({ username: String, displayName: String, bio: String })),
    );

    profiles
      .source("*registrations")
      .out({ userId: "*userId", username: "*username", displayName: "*displayName" })
      .localSelect("$$owners", Path.key("*username"))
      .out("*owner")
      .ifTrue(
        or(isNull("*owner"), eq("*owner", "*userId")),
        Block.localTransform("$$owners", Path.key("*username").termVal("*userId"))
          .hashPartition("*userId")
          .localTransform(
            "$$profiles",
            Path.key("*userId").multiPath(
              Path.key("username").termVal("*username"),
              Path.key("displayName").termVal("*displayName"),
            ),
          )
          .ackReturn(record({ registered: true, userId: "*userId" })),
        Block.ackReturn(record({ registered: false, reason: "the name is taken" })),
      );

    profiles
      .source("*edits")
      .out({ userId: "*userId", fields: "*fields" })
      .localSelect("$$profiles", Path.key("*userId", "username"))
      .out("*username")
      // An edit of a user who does not exist changes nothing.
      .keepTrue(isNotNull("*username"))
      .each(Ops.EXPLODE_MAP, "*fields")
      .out("*field", "*value")
      .localTransform("$$profiles", Path.key("*userId", "*field").termVal("*value"));
  }
}
