// @vitest-environment node
import { renderToString } from "react-dom/server";
import { expect, it, vi } from "vitest";

import {
  clearPersistedState,
  hasPersistedState,
  useDashboardState,
  useStatePersistence,
} from "../src/lib/state";

function Page() {
  const { isInitialized, syncStatus } = useStatePersistence({
    server: true,
    scope: ["acme", "ada"],
  });
  const project = useDashboardState((state) => state.activeProject);
  return <p>{[isInitialized, syncStatus, project].map(String).join(" ")}</p>;
}

it("renders on a server, without a warning", () => {
  const error = vi.spyOn(console, "error");
  expect(typeof window).toBe("undefined");
  expect(renderToString(<Page />)).toBe("<p>false off null</p>");
  expect(error).not.toHaveBeenCalled();
});

it("has functions that do nothing on a server", () => {
  expect(hasPersistedState()).toBe(false);
  expect(clearPersistedState).not.toThrow();
});
