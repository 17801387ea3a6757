import { expect, test } from "bun:test";
import { WorkerPorts } from "../../../src/roles/supervisor/worker-ports.ts";

test("ports come from the range, no two holders get the same", () => {
  const ports = new WorkerPorts([3000, 3005]);
  expect(ports.take("a", 3)).toEqual([3000, 3001, 3002]);
  expect(ports.take("b", 2)).toEqual([3003, 3004]);
});

test("a range that is used up is refused with the setting's name", () => {
  const ports = new WorkerPorts([3000, 3002]);
  ports.take("a", 2);
  expect(() => ports.take("b", 2)).toThrow("supervisor.port.range has 3 ports, 2 are given and 2 more are needed");
});

test("released ports are given again, but others first: a stranger may hold the ones that failed", () => {
  const ports = new WorkerPorts([3000, 3003]);
  ports.take("a", 2);
  ports.release("a");
  expect(ports.take("a", 2)).toEqual([3002, 3003]);
  expect(ports.take("a", 2)).toEqual([3000, 3001]);
});

test("ports of an adopted worker are not given away", () => {
  const ports = new WorkerPorts([3000, 3003]);
  ports.note("old", [3000, 3002]);
  expect(ports.take("new", 2)).toEqual([3001, 3003]);
});

test("with range 0 the system picks every port, without end", () => {
  const ports = new WorkerPorts(0);
  expect(ports.take("a", 3)).toEqual([0, 0, 0]);
  expect(ports.take("b", 100).every((port) => port === 0)).toBe(true);
});
