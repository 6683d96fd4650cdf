"""What OpenLineage is told of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellar_core import Record, Ref

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import Dataset
    from openlineage.client.facet_v2 import DatasetFacet, RunFacet


def lineage(
    cellar: str, *, found: Record | None = None, made: Record | None = None
) -> OperatorLineage[Dataset, RunFacet]:
    """What a task read and wrote: a model is a dataset, and what is known of it is which of its versions.

    Only to be called where OpenLineage's provider is installed, such as by itself.

    Args:
        cellar: the URL of the cellar, which is the namespace of its models.
        found: the version that the task found.
        made: the version that it made; its base is what went in.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    read = [found.ref] if found else []
    if made and (base := made.parent.ref if made.parent else made.recipe.pretrained):
        read.append(base)
    inputs: list[Dataset] = [InputDataset(cellar, str(ref.model), facets=_facets(ref)) for ref in read]
    outputs: list[Dataset] = []
    if made:
        output = OutputDataset(cellar, str(made.model), facets=_facets(made.ref))
        output.outputFacets = {
            "outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(
                size=made.size, fileCount=len(made.files)
            )
        }
        outputs.append(output)
    return OperatorLineage(inputs=inputs, outputs=outputs)


def _facets(ref: Ref) -> dict[str, DatasetFacet]:
    from openlineage.client.facet_v2 import dataset_type_dataset, dataset_version_dataset

    return {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=str(ref.version)),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType="MODEL"),
    }
