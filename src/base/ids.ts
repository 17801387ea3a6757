// Branded numbers and strings, so that two of them cannot change places by accident.

declare const brand: unique symbol;
type Branded<T, B> = T & { readonly [brand]: B };

/** 0 … tasks-1; also the partition index of every non-global object of the module. */
export type TaskId = Branded<number, "TaskId">;
/** Position in a depot partition or a replog; the first is 0. */
export type Offset = Branded<number, "Offset">;
/** Grows by one at each change of a group's leader. */
export type LeaderEpoch = Branded<number, "LeaderEpoch">;
/** Index of a task group in its module instance, 0 … threads-1. Group g holds the tasks t with t mod threads = g. */
export type GroupId = Branded<number, "GroupId">;

export const taskId = (n: number): TaskId => n as TaskId;
export const offset = (n: number): Offset => n as Offset;
export const leaderEpoch = (n: number): LeaderEpoch => n as LeaderEpoch;
export const groupId = (n: number): GroupId => n as GroupId;
