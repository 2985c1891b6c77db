import { AlwaysOffSampler, AlwaysOnSampler, ParentBasedSampler } from '@opentelemetry/sdk-trace';
import { TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';
import type { Sampler } from '@opentelemetry/sdk-trace';

const always = new AlwaysOnSampler();
const never = new AlwaysOffSampler();

/** Which traces are kept: `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`, which were checked before. */
export function createSampler(env: NodeJS.ProcessEnv): Sampler {
  const share = () => new TraceIdRatioBasedSampler(ratioOf(env.OTEL_TRACES_SAMPLER_ARG ?? ''));
  switch (env.OTEL_TRACES_SAMPLER) {
    case 'always_on':
      return always;
    case 'always_off':
      return never;
    case 'traceidratio':
      return share();
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: never });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: share() });
    default:
      return new ParentBasedSampler({ root: always });
  }
}

function ratioOf(text: string): number {
  return text === '' ? 1 : Number(text);
}
