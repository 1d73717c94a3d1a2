"""Great Expectations' own pages about a check (Data Docs): suites with their notes, and the results of every run.

The library's templates load styles and scripts from five foreign hosts and show sample values as markup. Here its
site builder is given views of ours (`data_docs_views`), so that the pages work without a network and run no script.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.errors import PermanentError
from recsys.ingest.validation.rules import import_great_expectations

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.core.batch import Batch
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations.expectation import Expectation

_VIEWS = "recsys.ingest.validation.data_docs_views"


def new_context(site: Path | None = None, title: str = "") -> "EphemeralDataContext":
    """A context in memory: no project folder, no telemetry, no progress bars.

    Args:
        site: folder that `build` writes the Data Docs into; by default there are none.
        title: shown on the first page.
    """
    gx = import_great_expectations()
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    defaults = InMemoryStoreBackendDefaults()
    defaults.data_docs_sites = {title: _site(site)} if site else {}
    return gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=defaults,
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        ),
    )


def record(
    context: "EphemeralDataContext",
    batch: "Batch",
    rules: Sequence["Expectation"],
    results: Mapping[str, "ExpectationValidationResult | str"],
    *,
    table: str,
    run: str,
) -> None:
    """Keep the suite of one table and its results in a context's stores, from which its Data Docs are built.

    The results are given by rule; a text says why a rule was not evaluated. `run` names the check among others of the
    same context.
    """
    gx = import_great_expectations()
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    name = f"{table}-{run}"  # the numbers of a suite differ from run to run
    context.suites.add(gx.ExpectationSuite(name, expectations=list(rules)))
    run_id = RunIdentifier(run_name=run, run_time=datetime.now(UTC))
    key = ValidationResultIdentifier(
        batch_identifier=batch.id,
        expectation_suite_identifier=ExpectationSuiteIdentifier(name=name),
        run_id=run_id,
    )
    answers = [_answer(rule, results[rule.meta["rule"]]) for rule in rules]
    meta = {
        "great_expectations_version": gx.__version__,
        "batch_spec": {"data_asset_name": table},
        "run_id": run_id,
        "validation_time": run_id.run_time,
    }
    context.validation_results_store.set(key, _whole(name, answers, meta, batch.id))


def _whole(
    suite: str, answers: list["ExpectationValidationResult"], meta: dict[str, Any], batch_id: str
) -> "ExpectationSuiteValidationResult":
    from great_expectations.core import ExpectationSuiteValidationResult

    n_held = sum(bool(answer.success) for answer in answers)
    return ExpectationSuiteValidationResult(
        success=n_held == len(answers),
        results=answers,
        suite_name=suite,
        statistics={
            "evaluated_expectations": len(answers),
            "successful_expectations": n_held,
            "unsuccessful_expectations": len(answers) - n_held,
            "success_percent": 100 * n_held / len(answers),
        },
        meta=meta,
        batch_id=batch_id,
    )


def build(context: "EphemeralDataContext", site: Path) -> list[Path]:
    """Write the pages; returns them relative to the site, the first page first.

    Raises:
        PermanentError: a page is missing. The library only logs what fails while it renders.
    """
    context.build_data_docs()
    pages = sorted(path.relative_to(site) for path in site.rglob("*.html"))
    n_expected = 1 + len(context.validation_results_store.list_keys()) + len(context.suites.all())
    if len(pages) != n_expected:
        raise PermanentError(
            f"Great Expectations rendered {len(pages)} of {n_expected} pages of its Data Docs. Nothing was published. "
            "Its message in the log above says what failed; this is a fault of the package."
        )
    return sorted(pages, key=lambda page: page != Path("index.html"))


def _site(folder: Path) -> dict[str, Any]:
    page = {"view": {"module_name": _VIEWS, "class_name": "PageView"}}
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
        "site_index_builder": {
            "class_name": "DefaultSiteIndexBuilder",
            "view": {"module_name": _VIEWS, "class_name": "IndexView"},
        },
        "site_section_builders": {"expectations": page, "validations": page, "profiling": "none"},
    }


def _answer(rule: "Expectation", result: "ExpectationValidationResult | str") -> "ExpectationValidationResult":
    if not isinstance(result, str):
        return result
    from great_expectations.core import ExpectationValidationResult

    return ExpectationValidationResult(
        success=False,
        expectation_config=rule.configuration,
        exception_info={"raised_exception": True, "exception_message": result, "exception_traceback": ""},
    )
