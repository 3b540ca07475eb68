/**
 * The dashboard's state: add your widgets here.
 *
 * Raise `STATE_VERSION` when an older state no longer fits the schema, and give
 * `migrate` to `useStatePersistence()`.
 */
import { z } from "zod";

export const STATE_VERSION = 1;
export const MAX_ALERTS = 50;
export const MAX_ACTIVITIES = 100;

const Alert = z.object({
  id: z.string(),
  level: z.enum(["info", "warning", "error"]),
  message: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
});

const Activity = z.object({
  id: z.string(),
  agent: z.string(),
  text: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
});

/** The newest items come first, so the oldest ones are cut off. */
const newest = <Item extends z.ZodType>(item: Item, count: number) =>
  z.array(item).overwrite((items) => items.slice(0, count));

export const DashboardStateSchema = z.object({
  version: z.literal<number>(STATE_VERSION),
  /** Milliseconds since the epoch of the last change. */
  timestamp: z.number().nonnegative(),
  activeProject: z.string().nullable(),
  widgets: z
    .object({
      alerts: newest(Alert, MAX_ALERTS).exactOptional(),
      activities: newest(Activity, MAX_ACTIVITIES).exactOptional(),
    })
    .catchall(z.json()),
  loading: z.object({ isLoading: z.boolean(), loadingAgents: z.array(z.string()) }),
  errors: z.record(z.string(), z.string()),
});

export type Alert = z.infer<typeof Alert>;
export type Activity = z.infer<typeof Activity>;
export type DashboardState = z.infer<typeof DashboardStateSchema>;
export type Widgets = DashboardState["widgets"];
export type Json = z.infer<ReturnType<typeof z.json>>;

/** Return a valid state, with its lists cut to their limits, or null. */
export function validateDashboardState(value: unknown): DashboardState | null {
  return DashboardStateSchema.safeParse(value).data ?? null;
}
