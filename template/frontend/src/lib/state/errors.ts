export type PersistenceErrorCode = "quota" | "too_large" | "invalid" | "refused" | "conflict";

/** A state that was not saved, loaded or synchronized; the last saved state remains. */
export class PersistenceError extends Error {
  override readonly name = "PersistenceError";

  constructor(
    readonly code: PersistenceErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
