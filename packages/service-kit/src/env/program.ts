/** The programs that read AgentX's environment variables. */
export const programs = ['desktop', 'engine', 'session-store', 'stats-store', 'state-store'] as const;

/** One of AgentX's programs. */
export type Program = (typeof programs)[number];
