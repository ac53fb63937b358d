//! Option sets with single message transforms. Each leaves the row that tells the end of a step as it is found.

use super::options::OptionSet;

const KAFKA: &str = "org.apache.kafka.connect.transforms";
const UNWRAP: &str = "transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState";
const SCHEMAS_OFF: [&str; 2] = ["key.converter.schemas.enable=false", "value.converter.schemas.enable=false"];

/// Sets that run with every scenario: the ways in which tables are unwrapped and renamed.
fn for_all() -> Vec<OptionSet> {
    let unwrap = |name: &str, settings: &[&str]| {
        let base = ["transforms=unwrap", UNWRAP];
        OptionSet::new(name, &[&base[..], settings].concat())
    };
    let mode = |mode: &str| format!("transforms.unwrap.delete.tombstone.handling.mode={mode}");
    let fields = "transforms.unwrap.add.fields=op,table,lsn,source.ts_ms,db,txId,sequence,snapshot,xmin,origin,transaction.id,ts_us,nowhere";
    let headers = "transforms.unwrap.add.headers=op,source.table,lsn,snapshot,ts_ms,version";
    let rewrite = mode("rewrite");
    let pipeline = [
        &SCHEMAS_OFF[..],
        &[
            &rewrite,
            "transforms.unwrap.add.fields=op,ts_ms",
            "heartbeat.interval.ms=5000",
            "database.server.name=cdc-server",
        ],
    ]
    .concat();
    vec![
        unwrap("unwrap", &[]),
        unwrap("unwrap-pipeline", &pipeline),
        unwrap("unwrap-rewrite", &[&rewrite, fields, headers]),
        unwrap(
            "unwrap-rewrite-keep",
            &[
                &mode("rewrite-with-tombstone"),
                "transforms.unwrap.add.headers=op:what,lsn",
                "transforms.unwrap.add.headers.prefix=____",
                "transforms.unwrap.add.fields=op:what,source.schema",
                "transforms.unwrap.add.fields.prefix=",
            ],
        ),
        unwrap("unwrap-drop", &[&mode("drop"), "tombstones.on.delete=false"]),
        unwrap("unwrap-to-tombstone", &[&mode("delete-to-tombstone"), headers]),
        unwrap("unwrap-null-stays", &[&rewrite, "value.converter.replace.null.with.default=false"]),
        unwrap(
            "unwrap-null-kept",
            &[
                &rewrite,
                "value.converter.replace.null.with.default=false",
                "transforms.unwrap.replace.null.with.default=false",
            ],
        ),
        // The same through the tree, which the header asks for.
        unwrap(
            "unwrap-tree",
            &[
                &rewrite,
                fields,
                headers,
                "transforms=unwrap,header",
                &format!("transforms.header.type={KAFKA}.InsertHeader"),
                "transforms.header.header=made.by",
                "transforms.header.value.literal=me",
            ],
        ),
        unwrap(
            "header-tree",
            &[
                "transforms=header",
                "transforms.unwrap.type=",
                &format!("transforms.header.type={KAFKA}.InsertHeader"),
                "transforms.header.header=number",
                "transforms.header.value.literal=17",
            ],
        ),
        unwrap(
            "route",
            &[
                "transforms=route",
                "transforms.unwrap.type=",
                &format!("transforms.route.type={KAFKA}.RegexRouter"),
                r"transforms.route.regex=([^.]*)\.([a-y][^.]*)\.(.*)",
                "transforms.route.replacement=$1.routed.$2-$3",
            ],
        ),
    ]
}

/// One transformation, or a few, on the tables that are made for them.
fn for_tables() -> Vec<OptionSet> {
    let own = [
        "predicates=own,wide,full,tombstone",
        "predicates.own.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        r"predicates.own.pattern=.*\.transforms[^.]*\..*",
        "predicates.wide.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        r"predicates.wide.pattern=.*\.transforms\.(users|full_image)",
        "predicates.full.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        r"predicates.full.pattern=.*\.transforms\.full_image",
        "predicates.tombstone.type=org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
    ];
    // `unwrap` first, for the tables of the scenario, with the old row for deletes.
    let chain = |name: &str, aliases: &str, settings: &[&str]| {
        let transforms = format!("transforms=unwrap,{aliases}");
        let mut all = vec![
            transforms.as_str(),
            UNWRAP,
            "transforms.unwrap.predicate=own",
            "transforms.unwrap.delete.tombstone.handling.mode=rewrite",
        ];
        all.extend(own);
        let filled: Vec<String> = settings.iter().map(|setting| setting.replace("KAFKA", KAFKA)).collect();
        all.extend(filled.iter().map(String::as_str));
        OptionSet::new(name, &all).only(&["transforms", "transforms_keyless"])
    };
    let one = |name: &str, class: &str, settings: &[&str]| {
        let class = format!("transforms.t.type={KAFKA}.{class}");
        chain(name, "t", &[&[class.as_str(), "transforms.t.predicate=own"], settings].concat())
    };
    vec![
        one(
            "insert-field",
            "InsertField$Value",
            &[
                "transforms.t.topic.field=topic!",
                "transforms.t.partition.field=part",
                "transforms.t.timestamp.field=stamp",
                "transforms.t.static.field=who?",
                "transforms.t.static.value=me",
            ],
        ),
        one(
            "insert-field-key",
            "InsertField$Key",
            &["transforms.t.static.field=who", "transforms.t.static.value=me"],
        ),
        one(
            "replace-field",
            "ReplaceField$Value",
            &["transforms.t.exclude=email,digits", "transforms.t.renames=id:key,name:label"],
        ),
        one(
            "replace-field-include",
            "ReplaceField$Value",
            &[
                "transforms.t.include=id,note,active",
                "transforms.t.replace.null.with.default=false",
                "value.converter.replace.null.with.default=false",
            ],
        ),
        one(
            "mask-field",
            "MaskField$Value",
            &[
                "transforms.t.fields=name,small,big,active,ratio,factor,tags,__deleted",
                "value.converter.replace.null.with.default=false",
            ],
        ),
        one(
            "mask-replacement",
            "MaskField$Value",
            &["transforms.t.fields=small,big,digits,note", "transforms.t.replacement=42"],
        ),
        one("value-to-key", "ValueToKey", &["transforms.t.fields=name,note"]),
        chain(
            "extract-key",
            "vk,ek",
            &[
                "transforms.vk.type=KAFKA.ValueToKey",
                "transforms.vk.predicate=own",
                "transforms.vk.fields=name",
                "transforms.ek.type=KAFKA.ExtractField$Key",
                "transforms.ek.predicate=own",
                "transforms.ek.field=name",
            ],
        ),
        one("extract-value", "ExtractField$Value", &["transforms.t.field=js", "transforms.t.predicate=wide"]),
        one(
            "hoist",
            "HoistField$Value",
            &[
                "transforms.t.field=row",
                "transforms.unwrap.delete.tombstone.handling.mode=rewrite-with-tombstone",
            ],
        ),
        one(
            "flatten",
            "Flatten$Value",
            &["transforms.t.delimiter=_", "transforms.unwrap.predicate=own", "transforms.unwrap.negate=true"],
        ),
        one(
            "cast",
            "Cast$Value",
            &[
                "transforms.t.spec=id:string,price:float64,exact:int32,small:int8,big:boolean,active:string,ratio:string,factor:float32,digits:int16,day:string,data:string,at:string",
            ],
        ),
        one(
            "cast-connect",
            "Cast$Value",
            &["transforms.t.spec=day:string,at:string,of:string,atz:string", "time.precision.mode=connect"],
        ),
        one(
            "timestamp-text",
            "TimestampConverter$Value",
            &[
                "transforms.t.field=at",
                "transforms.t.target.type=string",
                "transforms.t.format=yyyy-MM-dd'T'HH:mm:ss.SSS",
                "transforms.t.unix.precision=microseconds",
            ],
        ),
        one(
            "timestamp-date",
            "TimestampConverter$Value",
            &[
                "transforms.t.field=at",
                "transforms.t.target.type=Date",
                "transforms.t.unix.precision=microseconds",
            ],
        ),
        one(
            "timestamp-unix",
            "TimestampConverter$Value",
            &[
                "transforms.t.field=at",
                "transforms.t.target.type=unix",
                "transforms.t.unix.precision=seconds",
                "time.precision.mode=connect",
            ],
        ),
        one(
            "header-from-move",
            "HeaderFrom$Value",
            &[
                "transforms.t.fields=price,js,tags,note,day,data,ratio",
                "transforms.t.headers=h1,h2,h3,h4,h5,h6,h7",
                "transforms.t.predicate=wide",
                "transforms.t.operation=move",
            ],
        ),
        one(
            "header-from-copy",
            "HeaderFrom$Value",
            &[
                "transforms.t.fields=day,at,of,atz,price,active",
                "transforms.t.headers=h1,h2,h3,h4,h5,h6",
                "transforms.t.predicate=wide",
                "transforms.t.operation=copy",
                "time.precision.mode=connect",
            ],
        ),
        one(
            "header-from-envelope",
            "HeaderFrom$Value",
            &[
                "transforms.t.fields=source,op",
                "transforms.t.headers=source,op",
                "transforms.t.operation=move",
                "transforms.unwrap.predicate=tombstone",
                "tombstones.on.delete=false",
            ],
        ),
        one(
            "drop-headers",
            "DropHeaders",
            &["transforms.t.headers=__debezium.context.taskId,__debezium.newkey"],
        ),
        one(
            "set-schema",
            "SetSchemaMetadata$Value",
            &["transforms.t.schema.name=acme.Row", "transforms.t.schema.version=3"],
        ),
        one("set-schema-key", "SetSchemaMetadata$Key", &["transforms.t.schema.name=acme.Key"]),
        chain("filter", "t", &["transforms.t.type=KAFKA.Filter", "transforms.t.predicate=full"]),
        chain(
            "literals",
            "a,b,c,d,e",
            &[
                "transforms.a.type=KAFKA.InsertHeader",
                "transforms.a.header=a",
                "transforms.a.value.literal=true",
                "transforms.b.type=KAFKA.InsertHeader",
                "transforms.b.header=b",
                "transforms.b.value.literal=-12",
                "transforms.c.type=KAFKA.InsertHeader",
                "transforms.c.header=c",
                "transforms.c.value.literal=some text: here",
                "transforms.d.type=KAFKA.InsertHeader",
                "transforms.d.header=d",
                "transforms.d.value.literal=1.50",
                "transforms.e.type=KAFKA.InsertHeader",
                "transforms.e.header=e",
                "transforms.e.value.literal=[\"x\",\"y\"]",
            ],
        ),
        chain(
            "drop-fields",
            "",
            &[
                "transforms=h,unwrap",
                "transforms.h.type=KAFKA.InsertHeader",
                "transforms.h.header=drop",
                "transforms.h.value.literal=[\"email\",\"name\",\"note\"]",
                "transforms.unwrap.drop.fields.header.name=drop",
                "transforms.unwrap.drop.fields.from.key=true",
            ],
        ),
        chain(
            "drop-fields-hard",
            "",
            &[
                "transforms=h,unwrap",
                "transforms.h.type=KAFKA.InsertHeader",
                "transforms.h.header=drop",
                "transforms.h.value.literal=[\"email\",\"name\",\"note\"]",
                "transforms.unwrap.drop.fields.header.name=drop",
                "transforms.unwrap.drop.fields.keep.schema.compatible=false",
                "transforms.unwrap.add.fields=op",
            ],
        ),
        chain("route-by-field", "", &["transforms=unwrap", "transforms.unwrap.route.by.field=dest"]),
        chain(
            "add-row-fields",
            "",
            &[
                "transforms=unwrap",
                "transforms.unwrap.add.fields=before.name,after.id",
                "transforms.unwrap.delete.tombstone.handling.mode=rewrite-with-tombstone",
                "transforms.unwrap.add.headers=before.price,op",
            ],
        ),
    ]
}

/// Debezium's own routers.
fn for_routers() -> Vec<OptionSet> {
    let logical = [
        "transforms=logical",
        "transforms.logical.type=io.debezium.transforms.ByLogicalTableRouter",
        r"transforms.logical.topic.regex=([^.]*)\.transforms\.(users|full_image)",
        "transforms.logical.topic.replacement=$1.merged.all",
    ];
    let partition = |hash: &'static str| {
        [
            "transforms=part",
            "transforms.part.type=io.debezium.transforms.partitions.PartitionRouting",
            "transforms.part.partition.payload.fields=change.name,change.big,change.small,change.price,change.data,change.active,source.table,change.day,change.factor,change.ratio,nowhere,change.tags",
            "transforms.part.partition.topic.num=4",
            hash,
            "tombstones.on.delete=false",
            "topic.creation.default.partitions=4",
            "topic.creation.default.replication.factor=1",
        ]
    };
    let outbox = |name: &str, settings: &[&str]| {
        let base = [
            "transforms=outbox",
            "transforms.outbox.type=io.debezium.transforms.outbox.EventRouter",
            "transforms.outbox.predicate=outbox",
            "transforms.outbox.route.topic.replacement=${routedByValue}",
            "predicates=outbox",
            "predicates.outbox.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
            r"predicates.outbox.pattern=.*\.outbox\.events",
        ];
        OptionSet::new(name, &[&base[..], settings].concat()).only(&["outbox"])
    };
    vec![
        OptionSet::new("logical", &logical).only(&["transforms"]),
        OptionSet::new(
            "logical-key",
            &[
                &logical[..],
                &[
                    r"transforms.logical.key.field.regex=[^.]*\.(.*)\.(.*)",
                    "transforms.logical.key.field.replacement=$1_$2",
                    "transforms.logical.key.field.name=shard",
                    "transforms.logical.schema.name.adjustment.mode=avro",
                ],
            ]
            .concat(),
        )
        .only(&["transforms"]),
        OptionSet::new(
            "logical-plain",
            &[
                &logical[..],
                &[
                    "transforms.logical.key.enforce.uniqueness=false",
                    "value.converter.replace.null.with.default=false",
                ],
            ]
            .concat(),
        )
        .only(&["transforms"]),
        OptionSet::new("partition-java", &partition("transforms.part.partition.hash.function=java"))
            .only(&["transforms"]),
        OptionSet::new("partition-murmur", &partition("transforms.part.partition.hash.function=murmur"))
            .only(&["transforms"]),
        outbox("outbox", &[]),
        outbox("outbox-schemas-off", &SCHEMAS_OFF),
        outbox(
            "outbox-fields",
            &[
                "transforms.outbox.table.fields.additional.placement=type:header:eventType,tenant:envelope,version:header,place:partition",
                "transforms.outbox.table.field.event.timestamp=at",
                "transforms.outbox.route.tombstone.on.empty.payload=true",
                "transforms.outbox.table.field.event.schema.version=version",
            ],
        ),
        outbox(
            "outbox-expand",
            &[
                "transforms.outbox.table.expand.json.payload=true",
                "transforms.outbox.table.field.event.key=id",
            ],
        ),
        outbox(
            "outbox-expand-nulls",
            &[
                "transforms.outbox.table.expand.json.payload=true",
                "transforms.outbox.table.json.payload.null.behavior=optional_bytes",
                "transforms.outbox.table.fields.additional.placement=tenant:envelope:who",
            ],
        ),
    ]
}

/// What is about declared deviations: their places are those of events that nothing has unwrapped or renamed.
const DEVIATING: [&str; 9] = [
    "arrays_dimensions",
    "arrays_times",
    "dates_beyond",
    "defaults_beyond",
    "intervals_rounded",
    "names",
    "nanoseconds_first_day",
    "partitioned",
    "unknown_arrays",
];

/// Those of [`for_all`] that run in Avro too: unwrapped, renamed, through the tree as they are.
const IN_AVRO: [&str; 5] = ["unwrap", "unwrap-rewrite", "unwrap-to-tombstone", "header-tree", "route"];

/// Sets to be run in Avro as well.
pub(super) fn in_avro() -> Vec<OptionSet> {
    let all = for_all().into_iter().filter(|set| IN_AVRO.contains(&set.name.as_str()));
    let mut sets = [all.map(|set| set.except(&DEVIATING)).collect(), for_tables(), for_routers()].concat();
    // A hoisted tombstone has no schema: Connect makes one up for it, which no registry that asks for compatibility
    // takes beside the one before; we refuse to write it.
    sets.retain(|set| set.name != "hoist");
    sets
}

/// Sets to be run as text as well: those in whose text the comparer finds the clocks, and no floats that Java's
/// releases print in different ways.
pub(super) fn in_text() -> Vec<OptionSet> {
    let mut sets = [for_tables(), for_routers()].concat();
    sets.retain(|set| !["cast", "flatten", "header-from-envelope"].contains(&set.name.as_str()));
    sets
}

/// All of them, in JSON.
pub(super) fn sets() -> Vec<OptionSet> {
    let all = for_all().into_iter().map(|set| set.except(&DEVIATING)).collect();
    [all, for_tables(), for_routers()].concat()
}
