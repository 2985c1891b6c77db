export { BROWSER_TOKEN_HEADER, requireBrowserToken } from './browser-token.ts';
export { createJwtIdentify } from './jwt.ts';
export { jwtConfig } from './jwt-config.ts';
export type { JwtConfig, JwtKeys } from './jwt-config.ts';
export { allowByCertificate } from './caller-policy.ts';
export { callerCredentials, storeCredentials, tlsConfig } from './tls.ts';
export type { TlsConfig } from './tls.ts';
