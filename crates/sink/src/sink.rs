use crate::action::{Action, Assignment, Described, Incoming, PartitionId, StopKind, StopReason};
use crate::config::{Config, Landing, Malformed, Rejected, TableMode};
use crate::destination::{Channel, ChannelStatus, DestinationError, ErrorKind, RowBatch};
use crate::dlq::{DeadLetter, error_headers};
use crate::group::CommitMetadata;
use crate::landing::{Landed, Room, land, land_variant};
use crate::merge::{LedgerAnswer, LedgerRow, MergePlan, MergeRange, offset_floor};
use crate::partition::{Partition, Phase, Verdict};
use crate::row::RowEncoder;
use crate::stats::Stats;
use crate::table::{Table, TablePhase};
use cdcd_debezium::event::value::Placeholder;
use cdcd_debezium::event::{Event, Skipped};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Merge bookkeeping of one table.
#[derive(Debug, Default)]
struct Merging {
    ledger: BTreeMap<String, LedgerRow>,
    busy: bool,
    next_at: Duration,
    failures: u32,
    serial: u64,
}

/// Merges in a row that may fail before the table stops. With the pause below it is about ten minutes.
const MERGE_FAILURES_MAX: u32 = 20;

/// Pause after a failed merge.
const MERGE_RETRY: Duration = Duration::from_secs(30);

/// The state machine. See the crate's page.
pub struct Sink {
    config: Config,
    placeholder: Placeholder,
    encoder: Box<dyn RowEncoder>,
    partitions: BTreeMap<PartitionId, Partition>,
    tables: BTreeMap<String, Table>,
    merging: BTreeMap<String, Merging>,
    status_at: BTreeMap<String, (bool, Duration)>,
    out: VecDeque<Action>,
    next_id: u32,
    next_epoch: u64,
    instance: String,
    stopping: bool,
    stats: Stats,
}

impl Sink {
    /// A sink without partitions. `instance` tells this run from every other one, for the ledger.
    pub fn new(config: Config, instance: String, encoder: Box<dyn RowEncoder>) -> Self {
        assert!(config.batch_rows_max > 0 && config.batch_bytes_max > 0, "a batch holds at least one row");
        Sink {
            placeholder: Placeholder::new(&config.placeholder),
            config,
            encoder,
            partitions: BTreeMap::new(),
            tables: BTreeMap::new(),
            merging: BTreeMap::new(),
            status_at: BTreeMap::new(),
            out: VecDeque::new(),
            next_id: 0,
            next_epoch: 0,
            instance,
            stopping: false,
            stats: Stats::default(),
        }
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        let owned = self.partitions.values();
        Stats {
            partitions: owned.len().try_into().unwrap_or(u64::MAX),
            rows_pending: owned.clone().map(Partition::rows_pending).sum(),
            lag_records: owned.map(Partition::lag).sum(),
            ..self.stats
        }
    }

    /// The group gave us a partition.
    pub fn handle_assigned(&mut self, assignment: &Assignment, now: Duration) -> PartitionId {
        let id = PartitionId(self.next_id);
        self.next_id += 1;
        let epoch = self.new_epoch();
        let mut partition = Partition::new(assignment, &self.config, epoch, now);
        let table = assignment.table.clone();
        self.tables.entry(table.clone()).or_insert_with(|| Table::new(&table, &self.config));
        self.merging.entry(table).or_default();
        if let Some(reason) = recreated(assignment) {
            self.stop(id, &mut partition, reason);
        } else if partition.committed.is_none() {
            // Recorded at once, though nothing may come for long: a later start must not ask Kafka where to begin.
            self.out.push_back(partition.record_beginning(id, now + self.config.offsets_interval));
        }
        self.partitions.insert(id, partition);
        id
    }

    /// The group took a partition away. Whatever is not durable is the next owner's.
    pub fn handle_revoked(&mut self, id: PartitionId) {
        self.partitions.remove(&id);
    }

    /// No more records will come; what was handed in becomes durable.
    pub fn handle_stopping(&mut self) {
        self.stopping = true;
    }

    /// A record was fetched.
    pub fn handle_record(&mut self, incoming: &Incoming<'_>, now: Duration) {
        let Some(partition) = self.partitions.get_mut(&incoming.id) else { return };
        let reads = matches!(partition.phase, Phase::Ready | Phase::Learning);
        if !reads || partition.epoch != incoming.epoch || self.stopping {
            return;
        }
        if incoming.offset < partition.position {
            self.stats.duplicates += 1;
            return;
        }
        let Some(table) = self.tables.get_mut(&partition.table) else { return };
        let size = incoming.record.key.map_or(0, <[u8]>::len) + incoming.record.value.map_or(0, <[u8]>::len);
        if table.landing != Landing::Variant && partition.phase == Phase::Ready {
            close_if_full(partition, table, &self.config, size);
        }
        let learning = partition.phase == Phase::Learning;
        let landed = {
            let mut scratch = Vec::new();
            let mut room = Room {
                config: &self.config,
                placeholder: &self.placeholder,
                encoder: self.encoder.as_mut(),
                table,
                tag: &partition.tag,
                out: if learning { &mut scratch } else { &mut partition.building.body },
            };
            if room.table.landing == Landing::Variant {
                land_variant(&mut room, incoming)
            } else {
                let record = &incoming.record;
                match partition.reader.read(record.topic, record.key, record.value) {
                    Err(error) => Landed::Malformed(error_chain(&error)),
                    Ok(event) => {
                        if let Event::Change(change) = &event {
                            partition.shape = Some(change.shape);
                            partition.lsn = partition.lsn.max(change.source.lsn.unwrap_or(0));
                        }
                        if learning {
                            learn(&mut room, event, incoming)
                        } else {
                            land(&mut room, event, (partition.shape, partition.lsn), incoming)
                        }
                    }
                }
            }
        };
        self.stats.records += 1;
        self.stats.record_bytes += size as u64;
        self.landed(incoming, landed, now);
    }

    fn landed(&mut self, incoming: &Incoming<'_>, landed: Landed, now: Duration) {
        let Some(partition) = self.partitions.get_mut(&incoming.id) else { return };
        let Some(table) = self.tables.get_mut(&partition.table) else { return };
        let learning = partition.phase == Phase::Learning;
        match landed {
            Landed::Rows(rows) if !learning => {
                if partition.building.rows == 0 {
                    partition.building.first_offset = incoming.offset;
                    partition.building.opened_at = now;
                }
                partition.building.rows += rows;
                partition.position = incoming.offset + 1;
                self.stats.rows += u64::from(rows);
                if partition.building.rows >= self.config.batch_rows_max
                    || partition.building.body.len() >= self.config.batch_bytes_max
                {
                    partition.close_batch(table.landing_name());
                }
            }
            Landed::Rows(_) => {}
            Landed::Nothing => {
                self.stats.skipped += 1;
                partition.position = incoming.offset + 1;
            }
            Landed::Evolve => {
                let name = partition.table.clone();
                self.evolve(&name);
            }
            Landed::Clash(why) => self.stop_id(incoming.id, StopReason::guard("E_TABLE_CLASH", why)),
            Landed::Malformed(why) => self.malformed(incoming, &why),
        }
    }

    fn malformed(&mut self, incoming: &Incoming<'_>, why: &str) {
        let Some(partition) = self.partitions.get_mut(&incoming.id) else { return };
        if self.config.malformed == Malformed::Stop {
            let message = format!(
                "record at offset {} of {}-{} cannot be read: {why}",
                incoming.offset, partition.topic, partition.partition
            );
            self.stop_id(incoming.id, StopReason::guard("E_MALFORMED_RECORD", message));
            return;
        }
        if partition.phase == Phase::Learning {
            // It is met again, and dead-lettered, when the channel is open.
            return;
        }
        let record = &incoming.record;
        let mut headers: Vec<(String, Option<Vec<u8>>)> = record
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect();
        headers.extend(error_headers(
            &partition.topic,
            partition.partition,
            incoming.offset,
            &self.config.sink_id,
            why,
        ));
        let letter = DeadLetter {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            offset: incoming.offset,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers,
        };
        partition.letters.insert(incoming.offset);
        partition.position = incoming.offset + 1;
        let epoch = partition.epoch;
        self.out.push_back(Action::DeadLetter { id: incoming.id, epoch, letter });
    }

    /// A dead letter is durable, or could not be written.
    pub fn handle_dead_lettered(
        &mut self,
        id: PartitionId,
        epoch: u64,
        offset: i64,
        written: Result<(), String>,
    ) {
        let Some(partition) = self.partitions.get_mut(&id).filter(|partition| partition.epoch == epoch)
        else {
            return;
        };
        match written {
            Ok(()) => {
                partition.letters.remove(&offset);
                self.stats.dead_letters += 1;
            }
            Err(why) => {
                let message = format!("the dead letter of offset {offset} could not be written: {why}");
                self.stop_id(id, StopReason { kind: StopKind::Dependency, message });
            }
        }
    }

    /// The end of the log, as far as committed records go, was reached under `epoch`: `after_records` is the first
    /// offset after the last record, `end` the offset that comes next. What lies between the two is no records: the
    /// ends of Kafka's transactions.
    pub fn handle_end(&mut self, id: PartitionId, epoch: u64, after_records: i64, end: i64) {
        let Some(partition) = self.partitions.get_mut(&id).filter(|partition| partition.epoch == epoch)
        else {
            return;
        };
        partition.at_end = true;
        // A record that was not dealt with is read again: nothing may pass it.
        if partition.phase == Phase::Ready && partition.position >= after_records {
            partition.position = partition.position.max(end);
        }
    }

    /// Answer to [`Action::Describe`].
    pub fn handle_described(&mut self, table: &str, answer: Result<Described, DestinationError>) {
        match answer {
            Ok(Described { landing, current }) => {
                if let Some(table) = self.tables.get_mut(table) {
                    table.described(landing, current);
                }
            }
            Err(error) => self.stop_table(table, &error),
        }
    }

    /// Answer to [`Action::Prepare`].
    pub fn handle_prepared(&mut self, name: &str, answer: Result<(), DestinationError>) {
        if let Err(error) = answer {
            return self.stop_table(name, &error);
        }
        self.stats.prepares += 1;
        if let Some(table) = self.tables.get_mut(name) {
            table.prepared();
        }
        // Whoever waited opens its channel; pipes cache the schema, so the others open theirs again as well.
        for id in self.ids_of(name) {
            let epoch = self.new_epoch();
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.begin_epoch(epoch, Phase::WaitTable);
            }
        }
    }

    /// Answer to [`Action::Open`].
    pub fn handle_opened(
        &mut self,
        id: PartitionId,
        epoch: u64,
        answer: Result<ChannelStatus, DestinationError>,
    ) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        if partition.epoch != epoch || partition.phase != Phase::Opening {
            return;
        }
        match answer {
            Ok(ChannelStatus { problem: Some(code), .. }) => {
                self.reopen(id, &format!("the channel opened as {code}"));
            }
            Ok(status) if partition.is_behind(&status) => {
                partition.opened_as = Some(status);
                self.out.push_back(Action::LogEnd { id, epoch });
            }
            Ok(status) => self.go_on(id, &status),
            Err(error) if matches!(error.kind, ErrorKind::Reopen | ErrorKind::Transient) => {
                self.reopen(id, &error.to_string());
            }
            Err(error) => self.stop_id(id, stop_reason(&error)),
        }
    }

    /// Answer to [`Action::LogEnd`]: first offset and end of the log, or why they are not known.
    pub fn handle_log_end(&mut self, id: PartitionId, epoch: u64, answer: Result<(i64, i64), String>) {
        let Some(partition) = self.partitions.get_mut(&id).filter(|partition| partition.epoch == epoch)
        else {
            return;
        };
        let Some(status) = partition.opened_as.take() else { return };
        match answer {
            Ok((low, high)) => {
                partition.log_ends(low, high);
                self.go_on(id, &status);
            }
            Err(why) => self.reopen(id, &why),
        }
    }

    /// The channel is open: records flow from behind its token.
    fn go_on(&mut self, id: PartitionId, status: &ChannelStatus) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let accept = self.config.rejected == Rejected::AcceptKnown;
        match partition.opened(status, accept) {
            Ok(()) => {
                let (epoch, offset) = (partition.epoch, partition.position);
                self.out.push_back(Action::Start { id, epoch, offset });
            }
            Err(reason) => self.stop_id(id, reason),
        }
    }

    /// Answer to [`Action::Append`].
    pub fn handle_appended(
        &mut self,
        id: PartitionId,
        epoch: u64,
        answer: Result<(), DestinationError>,
        batch: &RowBatch,
        now: Duration,
    ) {
        let Some(partition) = self.partitions.get_mut(&id).filter(|partition| partition.epoch == epoch)
        else {
            return;
        };
        match answer {
            Ok(()) => {
                partition.accepted(now);
                self.stats.batches += 1;
                self.stats.batch_bytes += batch.body.len() as u64;
            }
            Err(error) if matches!(error.kind, ErrorKind::Reopen | ErrorKind::Transient) => {
                self.reopen(id, &error.to_string());
            }
            Err(error) => self.stop_id(id, stop_reason(&error)),
        }
    }

    /// Answer to [`Action::Statuses`].
    pub fn handle_statuses(
        &mut self,
        table: &str,
        asked: &[Channel],
        answer: Result<Vec<(String, ChannelStatus)>, DestinationError>,
        now: Duration,
    ) {
        let asked_at = self.status_at.get(table).map_or(now, |(_, asked_at)| *asked_at);
        self.status_at.insert(table.to_owned(), (false, now + self.config.status_interval));
        let statuses = match answer {
            Ok(statuses) => statuses,
            Err(error) if error.is_transient() => return,
            Err(error) => {
                let ids = self.ids_of(table);
                return ids.into_iter().for_each(|id| self.reopen(id, &error.to_string()));
            }
        };
        for id in self.ids_of(table) {
            let Some(partition) = self.partitions.get_mut(&id) else { continue };
            let Some(channel) = asked.iter().find(|channel| channel.name == partition.channel_name()) else {
                continue;
            };
            if channel.epoch != partition.epoch || !matches!(partition.phase, Phase::Ready | Phase::Draining)
            {
                continue;
            }
            match statuses.iter().find(|(name, _)| *name == channel.name) {
                None => self.reopen(id, "the destination does not know the channel"),
                Some((_, status)) => match &status.problem {
                    Some(code) => self.reopen(id, &format!("the channel is {code}")),
                    None => match partition.committed_status(status) {
                        Ok(Verdict::Durable(rows)) => {
                            self.stats.rows_durable += rows;
                            // Only an answer tells that rows are late: we may have slept, or nobody answered.
                            if let Some(reason) = partition.overdue(asked_at, self.config.commit_deadline) {
                                self.overdue(id, reason);
                            }
                        }
                        Ok(Verdict::NotOurs(offset)) => {
                            self.reopen(
                                id,
                                &format!("its token is at offset {offset}, where we sent no batch"),
                            );
                        }
                        Err(reason) => self.stop_id(id, reason),
                    },
                },
            }
        }
    }

    /// Rows that stay away may have been dropped with an open that came late, of ours or of somebody else: another open
    /// tells. It drops nothing that would not be sent again.
    fn overdue(&mut self, id: PartitionId, reason: StopReason) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        if partition.is_short() || std::mem::replace(&mut partition.was_overdue, true) {
            self.stop_id(id, reason);
        } else {
            self.reopen(id, &reason.message);
        }
    }

    /// Answer to [`Action::Ledger`].
    pub fn handle_ledger(
        &mut self,
        name: &str,
        answer: Result<LedgerAnswer, DestinationError>,
        now: Duration,
    ) {
        let Some(merging) = self.merging.get_mut(name) else { return };
        merging.busy = false;
        match answer {
            Ok(answer) => {
                merging.ledger.extend(answer.rows);
                if let Some(table) = self.tables.get_mut(name) {
                    table.keys_from_ledger(answer.keys);
                }
            }
            Err(error) => self.merge_failed(name, &error, now),
        }
    }

    /// Answer to [`Action::Merge`].
    pub fn handle_merged(
        &mut self,
        name: &str,
        plan: &MergePlan,
        answer: Result<(), DestinationError>,
        now: Duration,
    ) {
        let Some(merging) = self.merging.get_mut(name) else { return };
        merging.busy = false;
        match answer {
            Ok(()) => {
                merging.failures = 0;
                merging.next_at = now + self.config.merge_interval;
                self.stats.merges += 1;
                for range in &plan.ranges {
                    let row = LedgerRow { merged: range.upto.clone(), generation: range.generation + 1 };
                    merging.ledger.insert(range.channel.clone(), row);
                }
            }
            Err(error) => self.merge_failed(name, &error, now),
        }
    }

    /// The outcome may be unknown: the ledger is read again before anything else.
    fn merge_failed(&mut self, name: &str, error: &DestinationError, now: Duration) {
        let Some(merging) = self.merging.get_mut(name) else { return };
        merging.ledger.clear();
        merging.failures += 1;
        merging.next_at = now + MERGE_RETRY.min(self.config.merge_interval);
        let definite = !matches!(error.kind, ErrorKind::Transient | ErrorKind::Conflict);
        tracing::warn!(table = name, error = %error, failures = merging.failures, "merge failed");
        if definite || merging.failures > MERGE_FAILURES_MAX {
            self.stop_table(name, error);
        }
    }

    /// The next piece of work, if there is any now.
    pub fn poll_action(&mut self, now: Duration) -> Option<Action> {
        if self.out.is_empty() {
            self.advance(now);
        }
        self.out.pop_front()
    }

    /// Whether all that existed at the start is durable, merged and committed, or its partition stopped.
    pub fn is_caught_up(&self) -> bool {
        self.out.is_empty()
            && self.partitions.iter().all(|(_, partition)| {
                partition.is_stopped()
                    || (partition.phase == Phase::Ready && partition.at_end && self.is_settled(partition))
                    || (partition.learns_before_landing(Landing::Log) && partition.at_end)
            })
    }

    /// Whether nothing that was handed in is still under way.
    pub fn is_idle(&self) -> bool {
        self.out.is_empty()
            && self.partitions.values().all(|partition| {
                partition.is_stopped()
                    || partition.phase != Phase::Ready && partition.phase != Phase::Draining
                    || partition.is_drained() && partition.committed == Some(partition.committable())
            })
    }

    /// Partitions that stopped, and why.
    pub fn stopped(&self) -> impl Iterator<Item = (&str, i32, &StopReason)> {
        self.partitions.values().filter_map(|partition| match &partition.phase {
            Phase::Stopped(reason) => Some((partition.topic.as_ref(), partition.partition, reason)),
            _ => None,
        })
    }

    /// Number of partitions that are owned and not stopped.
    pub fn running(&self) -> usize {
        self.partitions.values().filter(|partition| !partition.is_stopped()).count()
    }

    fn is_settled(&self, partition: &Partition) -> bool {
        let merges = self.tables.get(&partition.table).is_some_and(|table| table.mode == TableMode::Merge);
        partition.is_drained()
            && partition.committed == Some(partition.committable())
            && (!merges || self.unmerged(partition).is_none())
    }

    /// The `_OFFSET` up to which `partition` is durable, if the ledger is not there yet.
    fn unmerged<'p>(&self, partition: &'p Partition) -> Option<&'p str> {
        let durable = partition.durable_text()?;
        let row = self.merging.get(&partition.table)?.ledger.get(partition.channel_name());
        row.is_none_or(|row| row.merged.as_str() < durable).then_some(durable)
    }

    fn advance(&mut self, now: Duration) {
        for name in self.tables.keys().cloned().collect::<Vec<_>>() {
            self.advance_table(&name, now);
            self.advance_merge(&name, now);
        }
        for id in self.partitions.keys().copied().collect::<Vec<_>>() {
            self.advance_partition(id, now);
        }
    }

    fn advance_table(&mut self, name: &str, now: Duration) {
        let users = || {
            self.partitions.values().filter(|partition| partition.table == name && !partition.is_stopped())
        };
        let Some(table) = self.tables.get_mut(name) else { return };
        match table.phase {
            TablePhase::Unknown if users().next().is_some() => {
                table.phase = TablePhase::Describing;
                let current = (table.mode == TableMode::Merge && table.landing == Landing::Log)
                    .then(|| name.to_owned());
                let landing = table.landing_name();
                self.out.push_back(Action::Describe { table: name.to_owned(), landing, current });
            }
            TablePhase::Draining
                if users().all(|partition| partition.phase != Phase::Ready && partition.is_drained()) =>
            {
                table.phase = TablePhase::Preparing;
                self.out.push_back(Action::Prepare { table: name.to_owned(), plan: table.plan() });
            }
            _ => {}
        }
        let (busy, due) = self.status_at.get(name).copied().unwrap_or_default();
        if busy || now < due || !users().any(Partition::awaits_durability) {
            return;
        }
        let landing = table.landing_name();
        let channels = users()
            .filter(|partition| partition.awaits_durability())
            .map(|partition| partition.channel(landing.clone()))
            .collect();
        self.status_at.insert(name.to_owned(), (true, now));
        self.out.push_back(Action::Statuses { table: name.to_owned(), channels });
    }

    fn advance_merge(&mut self, name: &str, now: Duration) {
        let Some(table) = self.tables.get(name) else { return };
        if table.mode != TableMode::Merge || table.phase != TablePhase::Ready {
            return;
        }
        let Some(merging) = self.merging.get(name).filter(|merging| !merging.busy) else { return };
        let users: Vec<&Partition> = self
            .partitions
            .values()
            .filter(|partition| partition.table == name && !partition.is_stopped())
            .collect();
        let settled = users.iter().all(|partition| partition.at_end && partition.is_drained());
        let eager = self.config.until_caught_up && settled && merging.failures == 0;
        if now < merging.next_at && !eager {
            return;
        }
        let unknown: Vec<String> = users
            .iter()
            .filter(|partition| {
                partition.durable.is_some() && !merging.ledger.contains_key(partition.channel_name())
            })
            .map(|partition| partition.channel_name().to_owned())
            .collect();
        if !unknown.is_empty() {
            let plan = table.plan();
            self.set_busy(name);
            let action = Action::Ledger { table: name.to_owned(), plan, channels: unknown };
            return self.out.push_back(action);
        }
        let ranges: Vec<MergeRange> =
            users.iter().filter_map(|partition| self.merge_range(partition)).collect();
        if ranges.is_empty() {
            return;
        }
        let plan = table.plan();
        if plan.current.is_none() {
            return;
        }
        let deletes = table.deletes;
        let Some(merging) = self.merging.get_mut(name) else { return };
        merging.serial += 1;
        merging.busy = true;
        let id = format!("{}-{}", self.instance, merging.serial);
        let plan = MergePlan { id, plan, deletes, ranges };
        self.out.push_back(Action::Merge { table: name.to_owned(), plan });
    }

    fn set_busy(&mut self, name: &str) {
        if let Some(merging) = self.merging.get_mut(name) {
            merging.busy = true;
        }
    }

    fn merge_range(&self, partition: &Partition) -> Option<MergeRange> {
        let upto = self.unmerged(partition)?;
        let row = self.merging.get(&partition.table)?.ledger.get(partition.channel_name())?;
        let floor = || offset_floor(&partition.tag, partition.partition);
        let after = if row.merged.is_empty() { floor() } else { row.merged.clone() };
        Some(MergeRange {
            channel: partition.channel_name().to_owned(),
            after,
            upto: upto.to_owned(),
            generation: row.generation,
        })
    }

    fn advance_partition(&mut self, id: PartitionId, now: Duration) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        if partition.may_be_unrecorded() && now >= partition.commit_at {
            self.out.push_back(partition.record_beginning(id, now + self.config.offsets_interval));
        }
        let Some(table) = self.tables.get(&partition.table) else { return };
        match (&partition.phase, table.phase) {
            (Phase::WaitTable | Phase::Learning, TablePhase::Ready) => return self.open(id),
            (Phase::WaitTable, TablePhase::Missing) => return self.start_learning(id),
            (Phase::Ready | Phase::Draining, _) => {}
            _ => return,
        }
        let draining = table.phase == TablePhase::Draining;
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        if partition.phase == Phase::Ready && draining {
            partition.close_batch(table.landing_name());
            partition.phase = Phase::Draining;
        }
        let old = now.saturating_sub(partition.building.opened_at) >= self.config.batch_age_max;
        if partition.building.rows > 0
            && (old || self.stopping || partition.at_end && self.config.until_caught_up)
        {
            partition.close_batch(table.landing_name());
        }
        if let Some(batch) = partition.next_append() {
            self.out.push_back(Action::Append { id, batch });
        }
        if !partition.paused && partition.is_full() {
            partition.paused = true;
            self.out.push_back(Action::Pause(id));
        } else if partition.paused && partition.is_empty_of_pending() {
            partition.paused = false;
            self.out.push_back(Action::Resume(id));
        }
        let offset = partition.committable();
        let hurry = self.stopping || self.config.until_caught_up && partition.at_end;
        if partition.committed != Some(offset)
            && (now >= partition.commit_at || hurry && partition.is_drained())
        {
            partition.committed = Some(offset);
            partition.commit_at = now + self.config.offsets_interval;
            let metadata = partition.commit_metadata();
            self.out.push_back(Action::Commit { id, offset, metadata });
        }
    }

    fn open(&mut self, id: PartitionId) {
        let epoch = self.new_epoch();
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let Some(table) = self.tables.get(&partition.table) else { return };
        partition.begin_epoch(epoch, Phase::Opening);
        let channel = partition.channel(table.landing_name());
        self.out.push_back(Action::Open { id, channel });
    }

    fn start_learning(&mut self, id: PartitionId) {
        let epoch = self.new_epoch();
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        partition.begin_epoch(epoch, Phase::Learning);
        let offset = partition.initial;
        self.out.push_back(Action::Start { id, epoch, offset });
    }

    fn reopen(&mut self, id: PartitionId, why: &str) {
        let epoch = self.new_epoch();
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        tracing::warn!(topic = %partition.topic, partition = partition.partition, why, "channel opened again");
        self.stats.reopens += 1;
        match partition.count_reopen(why) {
            Ok(()) => partition.begin_epoch(epoch, Phase::WaitTable),
            Err(reason) => self.stop_id(id, reason),
        }
    }

    fn evolve(&mut self, name: &str) {
        let Some(table) = self.tables.get_mut(name) else { return };
        table.phase = TablePhase::Draining;
        let landing = table.landing_name();
        for partition in self.partitions.values_mut().filter(|partition| partition.table == name) {
            match partition.phase {
                Phase::Ready => {
                    partition.close_batch(landing.clone());
                    partition.phase = Phase::Draining;
                }
                Phase::Learning => partition.phase = Phase::WaitTable,
                _ => {}
            }
        }
    }

    fn ids_of(&self, table: &str) -> Vec<PartitionId> {
        let of_table = self.partitions.iter().filter(|(_, partition)| partition.table == table);
        of_table.filter(|(_, partition)| !partition.is_stopped()).map(|(id, _)| *id).collect()
    }

    fn stop_table(&mut self, table: &str, error: &DestinationError) {
        for id in self.ids_of(table) {
            self.stop_id(id, stop_reason(error));
        }
    }

    fn stop_id(&mut self, id: PartitionId, reason: StopReason) {
        if let Some(mut partition) = self.partitions.remove(&id) {
            self.stop(id, &mut partition, reason);
            self.partitions.insert(id, partition);
        }
    }

    fn stop(&mut self, id: PartitionId, partition: &mut Partition, reason: StopReason) {
        let epoch = self.new_epoch();
        partition.begin_epoch(epoch, Phase::Stopped(reason.clone()));
        self.stats.stopped += 1;
        self.out.push_back(Action::Pause(id));
        self.out.push_back(Action::Stopped { id, reason });
    }

    fn new_epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }
}

/// In the learning phase only the schema counts: what lands will be read again.
fn learn(room: &mut Room<'_>, event: Event<'_>, incoming: &Incoming<'_>) -> Landed {
    match event {
        Event::Skipped(Skipped::Heartbeat | Skipped::Transaction | Skipped::Message) => Landed::Rows(0),
        Event::Tombstone { .. } => Landed::Rows(0),
        Event::Change(change) if change.row().is_none() => Landed::Rows(0),
        Event::Change(change) if change.schema.is_none() && !room.table.has_types() => {
            room.table.fall_back_to_variant();
            Landed::Evolve
        }
        change @ Event::Change(_) => land(room, change, (None, 0), incoming),
    }
}

fn close_if_full(partition: &mut Partition, table: &Table, config: &Config, coming: usize) {
    // A row is about as long as its record; the margin covers the log's own columns.
    const ROW_OVERHEAD: usize = 512;
    let size = partition.building.body.len() + coming + ROW_OVERHEAD;
    if partition.building.rows > 0 && size > config.batch_bytes_max {
        partition.close_batch(table.landing_name());
    }
}

fn recreated(assignment: &Assignment) -> Option<StopReason> {
    let group = assignment.group.as_ref()?;
    let id = CommitMetadata::parse(&group.metadata)?.topic_id;
    (id != assignment.topic_id).then(|| {
        let message = format!(
            "topic {} was deleted and made again: its id is {} where the group knows {id}",
            assignment.topic, assignment.topic_id
        );
        StopReason::guard("E_TOPIC_RECREATED", message)
    })
}

fn stop_reason(error: &DestinationError) -> StopReason {
    let kind = match error.kind {
        ErrorKind::Config => StopKind::Config,
        ErrorKind::Transient => StopKind::Dependency,
        ErrorKind::Conflict => StopKind::Guard("E_LEDGER_CONFLICT"),
        ErrorKind::TooLarge => StopKind::Guard("E_ROW_TOO_LARGE"),
        ErrorKind::Reopen | ErrorKind::Definite => StopKind::Guard("E_DESTINATION"),
    };
    StopReason { kind, message: error.to_string() }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
