// An external depot: page views that web servers write to files are counted as they come, without being appended to a depot first.
//
//   mkdir -p /tmp/views && echo '{"url": "/", "user": "alice"}' >> /tmp/views/0.log
//   rama deploy --action launch --jar examples/log-files.ts --module LogFilesModule --tasks 4 --threads 2 --workers 1
//   rama select LogFilesModule '$$views' '["/"]'
//
// Each file `<n>.log` is a partition, each line a record. Any other log of another system is read the same way: see docs/external-depots.md.
import { Agg, CompoundAgg, MicrobatchSourceOptions, PState, RamaModule, type Setup, type Topologies } from "rama";
import { DirectoryDepot } from "rama/helpers";

interface View {
  readonly url: string;
  readonly user: string;
}

export class LogFilesModule extends RamaModule {
  constructor(readonly dir = "/tmp/views") {
    super();
  }

  define(setup: Setup, topologies: Topologies) {
    const { dir } = this;
    // One object for each task; `*files` is a depot to the topologies.
    setup.declareObject("*files", () => new DirectoryDepot<View>(dir, { keyOf: ({ user }) => user }));

    // A microbatch asks for the same lines again when it is tried again: every line counts once.
    const views = topologies.microbatch("views");
    views.pstate("$$views", PState.mapSchema(String, Number));
    views.pstate("$$byUser", PState.mapSchema(String, PState.mapSchema(String, Number).subindexed()));
    views
      .source("*files", MicrobatchSourceOptions.startFromBeginning())
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out(["*offset", "*user", { url: "*url" }])
      .hashPartition("*url")
      .compoundAgg("$$views", CompoundAgg.map("*url", Agg.count()))
      .hashPartition("*user")
      .compoundAgg("$$byUser", CompoundAgg.map("*user", CompoundAgg.map("*url", Agg.count())));
  }
}
