export interface TimeProps {
  /** Milliseconds since the epoch. */
  at: number;
}

export function Time({ at }: TimeProps) {
  const date = new Date(at);
  return <time dateTime={date.toISOString()}>{date.toLocaleTimeString()}</time>;
}
