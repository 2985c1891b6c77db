export { openStateStore } from './open.ts';
