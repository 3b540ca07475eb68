/** The dashboard's store: add a setter for each part of the state that your components change. */
import { create } from "zustand";

import { nextTimestamp, type StateDefinition } from "./definition";
import {
  type Activity,
  type Alert,
  type DashboardState,
  DashboardStateSchema,
  MAX_ACTIVITIES,
  MAX_ALERTS,
  STATE_VERSION,
  type Widgets,
} from "./schema";

export interface DashboardActions {
  /** Replace the whole state, `timestamp` included. */
  setFullState(state: DashboardState): void;
  setActiveProject(project: string | null): void;
  setWidget<Name extends keyof Widgets>(name: Name, value: NonNullable<Widgets[Name]>): void;
  addAlert(alert: Alert): void;
  addActivity(activity: Activity): void;
  setLoading(loading: Partial<DashboardState["loading"]>): void;
  /** Set the error of a part of the dashboard, or remove it with null. */
  setError(part: string, message: string | null): void;
  /** Return to the empty state; this is a change, which is saved. */
  reset(): void;
}

const EMPTY: DashboardState = {
  version: STATE_VERSION,
  timestamp: 0,
  activeProject: null,
  widgets: {},
  loading: { isLoading: false, loadingAgents: [] },
  errors: {},
};

export const useDashboardState = create<DashboardState & DashboardActions>()((set) => {
  const change = (make: (state: DashboardState) => Partial<DashboardState>) =>
    set((state) => ({ ...make(state), timestamp: nextTimestamp(state.timestamp) }));

  return {
    ...EMPTY,
    setFullState: (state) => set(state),
    setActiveProject: (activeProject) => change(() => ({ activeProject })),
    setWidget: (name, value) =>
      change(({ widgets }) => ({ widgets: { ...widgets, [name]: value } })),
    addAlert: (alert) =>
      change(({ widgets }) => {
        const alerts = [alert, ...(widgets.alerts ?? [])].slice(0, MAX_ALERTS);
        return { widgets: { ...widgets, alerts } };
      }),
    addActivity: (activity) =>
      change(({ widgets }) => {
        const activities = [activity, ...(widgets.activities ?? [])].slice(0, MAX_ACTIVITIES);
        return { widgets: { ...widgets, activities } };
      }),
    // Neither loading nor errors are saved, so that they leave the timestamp alone.
    setLoading: (loading) => set((state) => ({ loading: { ...state.loading, ...loading } })),
    setError: (part, message) =>
      set(({ errors: { [part]: _, ...others } }) => ({
        errors: message === null ? others : { ...others, [part]: message },
      })),
    reset: () => change(() => EMPTY),
  };
});

export const dashboardDefinition: StateDefinition<DashboardState> = {
  store: useDashboardState,
  schema: DashboardStateSchema,
  empty: EMPTY,
  transient: ["loading", "errors"],
};
