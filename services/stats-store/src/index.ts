export { openStatsStore } from './open.ts';
