/** Who calls. */
export interface Identity {
  /** Every row belongs to a tenant and every query filters on it. */
  readonly tenantId: string;
  /** The person or program within the tenant, for logs and limits. */
  readonly subject: string;
}

/** Tells who calls from the request's headers. Throws a `DomainError` (UNAUTHENTICATED) when it must be known and is not. */
export type Identify = (header: Headers) => Identity | Promise<Identity>;

/**
 * Header by which an engine tells a store for which tenant it acts. Stores trust it because only engines reach them (by
 * their certificate, or on loopback); engines take no notice of it.
 */
export const TENANT_HEADER = 'x-agentx-tenant';

/** The tenant of callers that name none. */
export const DEFAULT_TENANT = 'default';

/** Whether a text may name a tenant: its files lie in a folder of that name, after an `@`. */
export function isTenantId(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(text);
}

const ANONYMOUS: Identity = { tenantId: DEFAULT_TENANT, subject: 'anonymous' };

/** Takes the tenant from `TENANT_HEADER`, else the default tenant; the subject is `anonymous`. */
export function identifyByHeader(header: Headers): Identity {
  const tenantId = header.get(TENANT_HEADER);
  return tenantId === null || tenantId === '' ? ANONYMOUS : { tenantId, subject: ANONYMOUS.subject };
}
