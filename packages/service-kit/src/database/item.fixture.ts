/** A small table that the tests of this folder share. */
import { defineEntity, p } from '@mikro-orm/core';
import { Migration } from '@mikro-orm/migrations';
import { sql } from 'kysely';
import { pino } from 'pino';
import type { Database, OpenDatabaseOptions, Transaction } from './database.ts';
import { openDatabase } from './open-database.ts';

/** The tenant of the items. */
export const T = { tenantId: 't' };

export const Item = defineEntity({
  name: 'Item',
  tableName: 'item',
  properties: {
    tenantId: p.text().primary(),
    id: p.text().primary(),
    n: p.bigint('bigint'),
    data: p.blob().nullable(),
  },
});

class FirstItems extends Migration {
  override up(): void {
    const bytes = this.driver.getPlatform().getBlobDeclarationSQL();
    this.addSql(
      `create table item (tenant_id text not null, id text not null, n bigint not null, data ${bytes}, primary key (tenant_id, id))`,
    );
  }
}

export function openItems(url: string, options: Partial<OpenDatabaseOptions> = {}): Promise<Database> {
  return openDatabase({
    url,
    name: 'items',
    entities: [Item],
    migrations: [{ name: '0001-items', class: FirstItems }],
    log: pino({ level: 'silent' }),
    ...options,
  });
}

export async function addItem(tx: Transaction, id: string, n = 0): Promise<void> {
  await tx.rows(sql`insert into ${tx.table('item')} (tenant_id, id, n) values (${'t'}, ${id}, ${n})`);
}

export async function itemIds(database: Database): Promise<string[]> {
  const rows = await database.read(T, (tx) =>
    tx.rows(sql<{ id: string }>`select id from ${tx.table('item')} order by id`),
  );
  return rows.map((row) => row.id);
}
