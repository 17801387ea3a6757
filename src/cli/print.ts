// The one place that writes to the terminal. Results go to stdout, everything said beside them to stderr, so that `rama … --json | jq` works.
// Colours and progress bars only where a person looks (a TTY) and NO_COLOR is not set.

export interface Sink {
  write(text: string): void;
  readonly isTty: boolean;
  readonly columns: number;
}

export interface Print {
  /** A line of the result. */
  out(line: string): void;
  /** The result as JSON, pretty on a terminal. */
  json(value: unknown): void;
  /** Rows under headings, aligned; numbers to the right. */
  table(headings: readonly string[], rows: readonly (readonly (string | number)[])[]): void;
  /** A line beside the result. */
  note(line: string): void;
  error(line: string): void;
  progress(what: string, total: number): Progress;
}

export interface Progress {
  update(done: number, detail?: string): void;
  end(line: string): void;
}

export function createPrint(stdout: Sink, stderr: Sink): Print {
  const bold = (text: string) => (stderr.isTty ? `\u001b[1m${text}\u001b[0m` : text);
  return {
    out: (line) => stdout.write(`${line}\n`),
    json: (value) => stdout.write(`${JSON.stringify(value, null, stdout.isTty ? 2 : undefined)}\n`),
    table: (headings, rows) => stdout.write(renderTable(headings, rows)),
    note: (line) => stderr.write(`${line}\n`),
    error: (line) => stderr.write(`${bold("error:")} ${line}\n`),
    progress: (what, total) => createProgress(stderr, what, total),
  };
}

function renderTable(headings: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const texts = rows.map((row) => row.map((cell) => (typeof cell === "number" ? cell.toLocaleString("en-US") : cell)));
  const widths = headings.map((heading, i) => Math.max(heading.length, ...texts.map((row) => row[i]?.length ?? 0)));
  const numeric = headings.map(
    (_, i) =>
      rows.some((row) => typeof row[i] === "number") &&
      rows.every((row) => row[i] === "" || typeof row[i] === "number"),
  );
  const line = (cells: readonly string[]) =>
    `${cells.map((cell, i) => (numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join("  ")}`.trimEnd();
  return `${[line(headings), line(widths.map((width) => "-".repeat(width))), ...texts.map(line)].join("\n")}\n`;
}

/** A bar that is drawn in place on a terminal; elsewhere a line at every tenth. */
function createProgress(sink: Sink, what: string, total: number): Progress {
  let lastTenth = -1;
  let toldAt = 1;
  /** Nobody knows how much will come: the bytes so far, each time that they have doubled. */
  const unmeasured = (done: number, detail: string): void => {
    const line = `${what}: ${done.toLocaleString("en-US")} bytes ${detail}`;
    if (sink.isTty) sink.write(`\r\u001b[K${line}`);
    else if (done >= toldAt) {
      toldAt = done * 2;
      sink.write(`${line}\n`);
    }
  };
  return {
    update(done, detail = "") {
      if (total === 0) return unmeasured(done, detail);
      const share = Math.min(1, done / total);
      if (sink.isTty) {
        const width = Math.max(10, Math.min(40, sink.columns - what.length - detail.length - 30));
        const filled = Math.round(share * width);
        const bar = `${"█".repeat(filled)}${"░".repeat(width - filled)}`;
        sink.write(`\r\u001b[K${what} ${bar} ${Math.floor(share * 100)}%  ${done.toLocaleString("en-US")} ${detail}`);
        return;
      }
      const tenth = Math.floor(share * 10);
      if (tenth === lastTenth) return;
      lastTenth = tenth;
      sink.write(
        `${what}: ${tenth * 10}%  ${done.toLocaleString("en-US")} of ${total.toLocaleString("en-US")} ${detail}\n`,
      );
    },
    end(line) {
      sink.write(sink.isTty ? `\r\u001b[K${line}\n` : `${line}\n`);
    },
  };
}
