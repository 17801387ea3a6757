// Scheduled work: reminders that are delivered when they are due, over any crash and restart in between.
//
//   rama deploy --action launch --jar examples/reminders.ts --module RemindersModule --tasks 4 --threads 2 --workers 1
//   rama append RemindersModule '*reminders' '{"userId": "alice", "at": 1767225600000, "text": "water the plants"}'
//   rama select RemindersModule '$$inbox' '["alice"]'
import { Block, Depot, Path, PState, RamaModule, record, type Setup, type Topologies } from "rama";
import { TopologyScheduler } from "rama/helpers";

export class RemindersModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*reminders", Depot.hashBy("userId"));
    // Looks every second for what is due.
    setup.declareTickDepot("*everySecond", 1000);

    const core = topologies.stream("core");
    core.pstate("$$inbox", PState.mapSchema(String, PState.listSchema(Object).subindexed()));
    const timers = new TopologyScheduler("$$timers");
    timers.declarePStates(core);

    // A timer belongs to the task where it is set: here that is the user's, so delivering it needs no hop.
    core.source("*reminders").out("*reminder", { at: "*at" }).macro(timers.scheduleItem("*at", "*reminder"));

    // A timer is deleted when its block has reached its end: one that fails, or that a crash cuts off, is handled again.
    core.source("*everySecond").macro(
      timers.handleExpirations(
        "*due",
        "*now",
        Block.bind("*due", { userId: "*userId", text: "*text" }).localTransform(
          "$$inbox",
          Path.key("*userId")
            .afterElem()
            .termVal(record({ text: "*text", deliveredAt: "*now" })),
        ),
      ),
    );
  }
}
