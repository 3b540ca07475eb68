import { act } from "@testing-library/react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, it, vi } from "vitest";

import { savedState, store, Tab, useEmptyBrowser } from "./doubles";

useEmptyBrowser();

it("first renders in the browser what the server has rendered", async () => {
  store(savedState());
  const { module } = await Tab.open();
  function Page() {
    const { isInitialized } = module.useStatePersistence();
    const project = module.useDashboardState((state) => state.activeProject);
    return <p>{`${isInitialized} ${project}`}</p>;
  }
  const page = document.createElement("div");
  page.innerHTML = renderToString(<Page />);
  expect(page.textContent).toBe("false null");
  const error = vi.spyOn(console, "error");
  const root = await act(() => hydrateRoot(page, <Page />, { onRecoverableError: error }));
  expect(page.textContent).toBe("true Apollo");
  expect(error).not.toHaveBeenCalled();
  act(() => root.unmount());
});
