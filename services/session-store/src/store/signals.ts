/** Wakes the readers of one agent's log within this process. Carries no data: readers read the log. */
export interface LogSignals {
  notify(tenantId: string, agentId: string): void;
  /** Listens from now until `close`. */
  listen(tenantId: string, agentId: string): LogListener;
}

export interface LogListener {
  /**
   * Fulfils when the agent's log may have grown since this was last called, at once where it grew meanwhile; also after
   * a time and when the signal aborts. Never rejects.
   */
  next(timeoutMs: number | undefined, signal: AbortSignal): Promise<void>;
  close(): void;
}

interface Listener {
  notified: boolean;
  wake: (() => void) | undefined;
}

export function createLogSignals(): LogSignals {
  const listeners = new Map<string, Set<Listener>>();
  const keyOf = (tenantId: string, agentId: string) => `${tenantId}/${agentId}`;
  return {
    notify: (tenantId, agentId) => {
      for (const listener of listeners.get(keyOf(tenantId, agentId)) ?? []) {
        listener.notified = true;
        listener.wake?.();
      }
    },
    listen: (tenantId, agentId) => {
      const key = keyOf(tenantId, agentId);
      const ofAgent = listeners.get(key) ?? new Set();
      listeners.set(key, ofAgent);
      const listener: Listener = { notified: false, wake: undefined };
      ofAgent.add(listener);
      return {
        next: async (timeoutMs, signal) => {
          if (!listener.notified && !signal.aborted) await woken(listener, timeoutMs, signal);
          listener.notified = false;
        },
        close: () => {
          ofAgent.delete(listener);
          if (ofAgent.size === 0 && listeners.get(key) === ofAgent) listeners.delete(key);
        },
      };
    },
  };
}

function woken(listener: Listener, timeoutMs: number | undefined, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      listener.wake = undefined;
      resolve();
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(wake, timeoutMs);
    listener.wake = wake;
    signal.addEventListener('abort', wake);
  });
}
