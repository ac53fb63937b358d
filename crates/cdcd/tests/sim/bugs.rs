//! Bugs that others had and that we could have: each is put in by hand, and the simulation must find it.

use cdcd::capture::start::{Decision, Facts, SnapshotNeed};
use cdcd::exit::Failure;
use cdcd_capture::{Capture, CommitPoint};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::replication::StandbyStatusUpdate;

use crate::faults::Fault;

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Bug {
            $($(#[$doc])* $name,)*
        }

        pub(crate) const ALL: &[Bug] = &[$(Bug::$name,)*];
    };
}

bugs! {
    /// The slot is acknowledged up to what was received.
    AckedBeforeDurable,
    /// The slot is acknowledged up to the position, on a connection that has not received it.
    AckedBeyondReceived,
    /// A keepalive is answered with its own LSN.
    KeepaliveAcked,
    /// A position is taken for durable when its commit is asked for.
    CommittedWhenAsked,
    /// The slot says where to go on, not the position.
    ResumeAtConfirmed,
    /// The position names the commit record, not its end.
    ResumeAtCommitRecord,
    /// The position names an LSN beyond what is done.
    ResumeBeyondDone,
    /// A transaction of which a part is in Kafka starts from its first change again.
    OpenForgotten,
    /// The same, but it knows that there is an open transaction.
    OrdinalReset,
    /// The position does not say that a transaction is open.
    OpenNotWritten,
    /// What comes again is not compared with what was sent.
    PrefixHashIgnored,
    /// A producer goes on after a commit whose outcome nobody knows.
    ProducerReused,
    /// An unknown outcome is taken for a commit.
    UnknownTakenForCommitted,
    /// After a failure the process trusts its own memory of the position.
    PositionNotReadAgain,
    /// The position is read before other producers are fenced.
    PositionReadBeforeFence,
    /// Nobody is fenced.
    NotFenced,
    /// The position topic is read to the first empty fetch, which comes too early behind a change of leader.
    PositionReadTooShort,
    /// The position is in a transaction of its own.
    PositionInItsOwnTransaction,
    /// A slot that is ahead of the position is followed.
    SlotAheadFollowed,
    /// The slot is looked at only before the start.
    SlotNotLookedAtAgain,
    /// A missing slot is made again in silence.
    SlotMadeAgainInSilence,
    /// A server that never had what is in Kafka is followed.
    DivergedFollowed,
    /// A server whose log ends before the position is followed.
    ServerBehindFollowed,
    /// Nobody asks for the ids of topics.
    TopicIdsIgnored,
    /// An empty position topic means a first start.
    TraceIgnored,
    /// Nobody looks at the publication.
    PublicationIgnored,
    /// The publication is looked at only at the start.
    PublicationNotWatched,
    /// A continued snapshot does not filter the stream.
    SnapshotUnfiltered,
    /// A continued snapshot starts from the first row again.
    SnapshotFromTheStart,
    /// A restart forgets what the attempts of a snapshot have seen.
    RereadForgotten,
    /// The server's questions wait while a commit runs.
    SilentWhileCommitting,
    /// Nothing stops the reading while Kafka blocks.
    ReadsOnWhileBlocked,
    /// A channel without token starts with what comes next.
    NullTokenStartsAtEnd,
    /// The group's offset says where to start, not the channel's token.
    StartAtGroupOffset,
    /// Records from before a seek are taken.
    StaleRecordsAccepted,
    /// Rejected rows are not looked at.
    ErrorsForgiven,
    /// Rejected rows of the time before the open are taken for known.
    ErrorsNotPersisted,
    /// A writer goes on although somebody else has opened its channel.
    ZombieAppends,
    /// What the channel had committed is known only as long as the process lives.
    DurableNotPersisted,
    /// Nobody counts the rows.
    RowCountIgnored,
    /// What Snowflake refuses is passed over.
    RefusalForgiven,
    /// A record that cannot be read is passed over.
    MalformedSkipped,
    /// A batch that is sent again is written again.
    AppendedTwice,
    /// The group's offset passes what is durable.
    OffsetBeyondDurable,
    /// What retention deleted is not missed.
    RetentionGapIgnored,
    /// A partition that was added later is taken for one that the group comes to first.
    AddedPartitionIsNew,
    /// A token beyond the end of the log is believed.
    TruncationIgnored,
    /// Of a batch only a row's last change counts, with what it does not know.
    LastRowOnly,
    /// A delete leaves no trace of its order.
    DeleteForgetsOrder,
    /// A row that arrives later is newer.
    OrderByArrival,
    /// Two merges of the same rows both happen.
    MergeWithoutSwap,
    /// A truncate counts only in the merge that meets it.
    TruncateForgotten,
    /// A value that comes after a newer row, which did not know it, is lost.
    LateValueForgotten,
}

impl Bug {
    /// Faults under which it shows soon.
    pub(crate) fn focus(self) -> &'static [Fault] {
        use Fault::*;
        match self {
            Bug::OpenForgotten | Bug::OrdinalReset | Bug::OpenNotWritten => &[SlowLarge, KillCapture],
            Bug::PrefixHashIgnored => &[RowFilter],
            Bug::RereadForgotten => &[KillAtStart],
            Bug::PositionReadBeforeFence | Bug::NotFenced | Bug::ProducerReused => {
                &[SecondCapture, PauseCapture, KillCapture]
            }
            Bug::PositionReadTooShort => &[LeaderChange, KillCapture],
            Bug::SlotAheadFollowed => &[SlotAdvanced],
            Bug::SlotNotLookedAtAgain => &[SlotAdvancedAtStart],
            Bug::SlotMadeAgainInSilence => &[SlotDropped],
            Bug::DivergedFollowed => &[PointInTime],
            Bug::ServerBehindFollowed => &[OldImage],
            Bug::TopicIdsIgnored => &[TopicRecreated],
            Bug::PublicationIgnored => &[TableUnpublished],
            Bug::PublicationNotWatched => &[PublicationChanged],
            Bug::DurableNotPersisted => &[TokensWentBack, KillSink],
            Bug::RowCountIgnored => &[RowsLost],
            Bug::RefusalForgiven => &[RequestRefused],
            Bug::MalformedSkipped => &[RecordMalformed],
            Bug::TraceIgnored => &[PositionsLost],
            Bug::ErrorsForgiven | Bug::ErrorsNotPersisted => &[RowsRejected],
            Bug::RetentionGapIgnored => &[RetentionPassed],
            Bug::AddedPartitionIsNew => &[PartitionsAdded, RetentionPassed],
            Bug::TruncationIgnored => &[LogTruncated],
            Bug::DeleteForgetsOrder | Bug::OrderByArrival | Bug::LateValueForgotten => &[KeysMove],
            Bug::ZombieAppends | Bug::MergeWithoutSwap | Bug::StaleRecordsAccepted => {
                &[PauseSink, ChannelsInvalid]
            }
            Bug::StartAtGroupOffset | Bug::OffsetBeyondDurable => &[KillSink, ChannelsInvalid],
            _ => &[KillCapture, CrashPostgres],
        }
    }

    /// What a commit point becomes.
    pub(crate) fn bends(self, point: &mut CommitPoint, capture: &Capture, _keepalive: u64) {
        match self {
            Bug::ResumeAtCommitRecord if point.last_commit_lsn == Some(point.done_end_lsn) => {
                point.done_end_lsn = Lsn(point.done_end_lsn.0 - 48);
            }
            Bug::ResumeBeyondDone => point.done_end_lsn = Lsn(point.done_end_lsn.0 + 4096),
            Bug::OpenNotWritten if capture.in_transaction() => point.open = None,
            _ => {}
        }
    }

    /// What a status update becomes.
    pub(crate) fn bends_update(self, update: &mut StandbyStatusUpdate, capture: &Capture, keepalive: u64) {
        match self {
            Bug::AckedBeforeDurable => update.flushed = update.written,
            Bug::AckedBeyondReceived => update.flushed = capture.flushed(),
            Bug::KeepaliveAcked => update.flushed = update.flushed.max(Lsn(keepalive)),
            _ => {}
        }
    }

    /// Guards that are not there.
    pub(crate) fn overrules(self, failure: &Failure, facts: &Facts<'_>) -> Option<Decision> {
        let text = failure.render();
        let position = facts.position?;
        let at = |from| Decision::Resume {
            from,
            last_commit: None,
            last_commit_us: None,
            open: position.open.clone(),
            snapshot: SnapshotNeed::None,
            lineage: position.lineage,
        };
        let confirmed = facts.slot.and_then(|slot| slot.confirmed_flush_lsn);
        match self {
            Bug::SlotAheadFollowed if text.contains("E_GAP_SLOT_AHEAD") => confirmed.map(at),
            Bug::SlotMadeAgainInSilence if text.contains("E_SLOT_MISSING") => {
                Some(Decision::CreateSlot { snapshot: false, lineage: position.lineage, replace: false })
            }
            Bug::DivergedFollowed if text.contains("E_DIVERGED") => Some(at(position.done_end_lsn.0)),
            Bug::ServerBehindFollowed if text.contains("E_SERVER_BEHIND") => {
                Some(at(position.done_end_lsn.0))
            }
            _ => None,
        }
    }
}
