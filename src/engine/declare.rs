//! Brings the mappings that a file declares into the store. A file mapping is known by its source and function: its
//! UUID is made once and kept, so that its checkpoints survive restarts and edits of its other settings.

use tracing::{info, warn};
use uuid::Uuid;

use super::Desired;
use crate::connect::function_arn;
use crate::mapping::EventSourceMapping;
use crate::mapping::arn::FunctionName;
use crate::mapping::arn::SourceArn;
use crate::mapping::document::MappingDocument;
use crate::store::{MappingOrigin, StateStore, StoreError, StoredMapping};

/// Writes what is new or changed, keeps what vanished from the file, and says what is to run. `region` completes
/// functions that are named without one.
pub async fn declare(
    store: &dyn StateStore,
    declared: Vec<(MappingDocument, EventSourceMapping)>,
    region: &str,
) -> Result<Desired, StoreError> {
    let mut stored = store.mappings().await?;
    let mut desired = Desired::new();
    for (document, mapping) in declared {
        let name = (mapping.source_arn().as_str().to_owned(), function_arn(&mapping, region));
        let known = stored.iter().position(|stored| known_by(&stored.document, region).as_ref() == Some(&name));
        let uuid = match known.map(|index| stored.swap_remove(index)) {
            Some(known) if known.document == document => known.uuid,
            Some(known) => store.put_mapping(StoredMapping { document, ..known }).await?.uuid,
            None => {
                let uuid = Uuid::new_v4();
                let made = StoredMapping { uuid, document, origin: MappingOrigin::File, revision: 0 };
                store.put_mapping(made).await?.uuid
            }
        };
        info!(%uuid, source = name.0, function = name.1, enabled = mapping.enabled, "mapping declared");
        desired.insert(uuid, mapping);
    }
    for vanished in stored {
        let source = vanished.document.event_source_arn.unwrap_or_default();
        let function = vanished.document.function_name.unwrap_or_default();
        warn!(
            uuid = %vanished.uuid,
            source,
            function,
            "mapping is no longer in the file: it does not run, and its checkpoints are kept"
        );
    }
    Ok(desired)
}

/// The source and the full function ARN of a stored document; `None` if it names neither.
fn known_by(document: &MappingDocument, region: &str) -> Option<(String, String)> {
    let source: SourceArn = document.event_source_arn.as_deref()?.parse().ok()?;
    let function: FunctionName = document.function_name.as_deref()?.parse().ok()?;
    let arn = function.arn(source.partition(), region, source.account());
    Some((source.as_str().to_owned(), arn))
}
