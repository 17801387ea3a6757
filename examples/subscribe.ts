// A live board of cards: everyone who looks at one sees each change within milliseconds, and is told what changed rather than the whole board.
//
// Records of *cards: { board: "launch", card: "c1", text: "Write the announcement" }; without a text the card goes.
//
//   await cluster.clusterDepot(LiveBoard, "*cards").append({ board: "launch", card: "c1", text: "…" });
//   await using view = await follow(cluster.clusterPState(LiveBoard, "$$boards"), "launch", { set, remove, reset });
import {
  Block,
  Depot,
  Path,
  PState,
  type PStateClient,
  type ProxyState,
  RamaModule,
  isNull,
  type Setup,
  type Topologies,
} from "rama";

export class LiveBoard extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*cards", Depot.hashBy("board"));

    const boards = topologies.stream("boards");
    boards.pstate("$$boards", PState.mapSchema(String, PState.mapSchema(String, String)));
    boards
      .source("*cards")
      .out({ board: "*board", card: "*card", text: "*text" })
      .ifTrue(
        isNull("*text"),
        Block.localTransform("$$boards", Path.key("*board", "*card").termVoid()),
        Block.localTransform("$$boards", Path.key("*board", "*card").termVal("*text")),
      );
  }
}

type Cards = Map<string, string>;

/** What shows a board: a page, a terminal, another cache. */
export interface BoardView {
  set(card: string, text: string): void;
  remove(card: string): void;
  /** Everything anew: at the start, and after trouble. */
  reset(cards: Cards): void;
}

/** Keeps the view up to date until what it returns is closed. `get()` of it is the whole board. */
export function follow(boards: PStateClient, board: string, view: BoardView): Promise<ProxyState<Cards | null>> {
  return boards.proxy<Cards | null>(Path.key(board), (cards, diff) => {
    diff.process({
      // One processor for one key serves changes of many, too: they are taken apart.
      key: ({ key }) => view.set(key as string, cards!.get(key as string)!),
      keyRemove: ({ key }) => view.remove(key as string),
      destroyed: () => {},
      unhandled: () => view.reset(cards ?? new Map()),
    });
  });
}
