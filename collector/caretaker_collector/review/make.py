"""Makes packs, many side by side: each in a worker process, from reading its figures to keeping its files.

    for made in make(Wish(settings=settings, now_ms=now_ms), [Job("ash", "2026-09"), ...], processes=2): ...

A worker has its own look into state file and store, and is started once for many packs. What goes wrong with one pack
is said in its `Made`, with what to do, and takes no other with it, not even when its worker dies. Memory of a worker is
bounded; so many packs are under way as there are workers.
"""

import asyncio
import gc
import os
import resource
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from msgspec import Struct

from caretaker_collector import state
from caretaker_collector.review import keep, send
from caretaker_collector.review.build import build
from caretaker_collector.review.inputs import place_of, read
from caretaker_collector.review.shown import figures
from caretaker_collector.review.sources import Sources, sources_of
from caretaker_collector.review.span import Span, named
from caretaker_collector.settings import CollectorSettings, load_estate
from caretaker_collector.stores import open_store
from caretaker_contract.errors import CaretakerError, ConfigError, Unavailable
from caretaker_dashboards.review.draw import KINDS, Kind, draw, stem
from caretaker_dashboards.review.pack import Pack
from caretaker_rules.calendar import midnight_ms, zone_of
from caretaker_rules.ports import Store

WORKER_MEMORY_BYTES = 3 * 1024**3
"""Address space of a worker: a pack needs about a fifth, and a runaway one must not take the machine with it."""
PACKS_A_WORKER = 25
"""After so many packs a worker is replaced: what drawing libraries keep is given back."""
SO_FAR = "so-far"
"""The folder beside the revisions for packs that are not kept."""
State = Literal["kept", "revised", "unchanged", "so far", "drawn", "failed"]


class Job(Struct, frozen=True):
    """One pack: a school, network:NAME or all, and a month or days as `span.named` reads them."""

    place: str
    period: str


class Wish(Struct, frozen=True, kw_only=True):
    """What is the same for all packs of one go."""

    settings: CollectorSettings  # with whole paths
    now_ms: int  # the collector's
    keeps: bool = True  # False: only draw
    out: str = ""  # folder to which files are copied, or drawn; "": beside the kept ones
    kinds: tuple[Kind, ...] = KINDS  # of the files in `out`; what is kept has all
    mails: bool = False  # write to the readers of what is kept
    nice: int = 0  # how much to stand back behind others


class Made(Struct, frozen=True, kw_only=True):
    """What became of one pack. `problem`: why there is none, and what to do."""

    place: str
    period: str
    state: State
    revision: int | None = None
    reason: str = ""  # of the revision
    files: tuple[str, ...] = ()
    recorded: bool = True  # False: nothing was recorded of these days, as the pack says
    mails: int = 0  # written to readers now
    unsent: str = ""  # why no reader gets it; "": they do, or nobody asked
    figures: tuple[str, ...] = ()  # of its first page, a line each
    problem: str = ""


def recorded_of(sources: Sources, schools: Iterable[str], span: Span) -> bool:
    """Whether any machine of these schools was heard of on these days."""
    return any(
        sources.db.execute(
            "SELECT 1 FROM day_ends WHERE school = ? AND day BETWEEN ? AND ? LIMIT 1",
            (school, span.first.isoformat(), span.last.isoformat()),
        ).fetchone()
        for school in schools
    )


async def make_one(sources: Sources, store: Store, wish: Wish, job: Job) -> Made:
    """One pack, in this process. Raises ConfigError, Unavailable, OSError, and whatever a defect of ours raises."""
    span = named(job.period)
    where = place_of(sources, job.place)
    zone = zone_of(sources.estate.schools[where.schools[0]].time_zone)
    if midnight_ms(span.first, zone) > wish.now_ms:
        raise ConfigError([f"{job.place} {job.period}  has not begun: there is nothing to review yet"])
    pack = await build(await read(sources, job.place, span))
    recorded = recorded_of(sources, where.schools, span)
    if not keep.is_over(pack) or not wish.keeps or not recorded:
        # Of days of which nothing is recorded nothing is kept either: there is no figure to hold on to.
        folder = _folder(wish, pack)
        files = draw(pack, folder, wish.kinds)
        return _made(job, pack, "drawn" if keep.is_over(pack) else "so far", files.values(), recorded)
    return _keep(sources, wish, job, pack)


def _keep(sources: Sources, wish: Wish, job: Job, pack: Pack) -> Made:
    data = Path(wish.settings.data)
    kept, placed = None, keep.place(sources.db, data, pack)
    for again in (True, False):
        if not placed.news:
            kept = placed.known
            break
        try:
            with keep.room(data, placed.pack) as folder:
                draw(placed.pack, folder)
                kept = keep.put(sources.db, data, placed.pack, folder)
            break
        except Unavailable:  # somebody else kept a revision meanwhile
            if not again:
                raise
            placed = keep.place(sources.db, data, pack)
    if kept is None:
        raise Unavailable(f"{job.place} {job.period}: it was being made elsewhere at the same time; make it again")
    files = [data / kept.folder / name for name in kept.files if name != keep.PACK]
    if wish.out:
        files = list(_copied(files, Path(wish.out), wish.kinds, stem(placed.pack)))
    mails, unsent = 0, ""
    if wish.mails:
        mails, unsent = send.write(sources.db, data, sources.estate, wish.settings, kept, wish.now_ms)
    found: State = "unchanged" if not placed.news else "kept" if len(placed.pack.revisions) == 1 else "revised"
    made = _made(job, placed.pack, found, files, True)
    return Made(**{name: getattr(made, name) for name in made.__struct_fields__} | {"mails": mails, "unsent": unsent})


def _folder(wish: Wish, pack: Pack) -> Path:
    if wish.out:
        return Path(wish.out)
    return Path(wish.settings.data) / keep.FOLDER / keep.folder_name(pack.place) / SO_FAR


def _copied(files: Iterable[Path], out: Path, kinds: Iterable[str], name: str) -> Iterator[Path]:
    out.mkdir(parents=True, exist_ok=True)
    for path in files:
        if path.suffix[1:] in set(kinds):
            part = out / f".{name}{path.suffix}.part"
            shutil.copyfile(path, part)
            yield part.replace(out / f"{name}{path.suffix}")


def _made(job: Job, pack: Pack, found: State, files: Iterable[Path], recorded: bool) -> Made:
    over = keep.is_over(pack) and found in ("kept", "revised", "unchanged")
    return Made(
        place=job.place,
        period=pack.period,
        state=found,
        revision=pack.revision if over else None,
        reason=next((each.reason for each in pack.revisions if over and each.number == pack.revision), ""),
        files=tuple(str(path) for path in files),
        recorded=recorded,
        figures=tuple(figures(pack)),
    )


# -- in worker processes -----------------------------------------------------------------------------------------------


class _Bench:
    """What a worker keeps open from pack to pack."""

    def __init__(self, wish: Wish) -> None:
        folder = Path(wish.settings.data)
        self.wish = wish
        self.loop = asyncio.new_event_loop()
        self.estate = load_estate(Path(wish.settings.estate))
        self.db = state.open_state(folder / "state.db", read_only=not wish.keeps)
        self.store = open_store(wish.settings.store, folder)
        self.sources = sources_of(
            self.estate, self.db, self.store, Path(wish.settings.estate).parent, wish.now_ms, states=wish.keeps
        )

    def make(self, job: Job) -> Made:
        """One pack."""
        return self.loop.run_until_complete(make_one(self.sources, self.store, self.wish, job))


_bench: _Bench | None = None


def _begin(memory_bytes: int, nice: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    if nice:
        with suppress(PermissionError):  # the collector's unit may not change priorities, not even to a lower one
            os.nice(nice)


def _work(wish: Wish, job: Job) -> Made:
    """A pack, or why there is none."""
    global _bench
    gc.disable()  # a pack is millions of objects that live until it is drawn: looking through them took a third of it
    try:
        if _bench is None:
            _bench = _Bench(wish)
        return _bench.make(job)
    except CaretakerError as error:
        return failed(job, str(error))
    except MemoryError:
        return failed(job, "it needs more memory than a pack may have; make a shorter span, or fewer schools at once")
    except OSError as error:
        return failed(job, f"{error.filename or 'a file'} cannot be written: {error.strerror}; is the disk full?")
    except Exception as error:
        _bench = None  # whatever is odd about what is open is not taken on to the next pack
        return failed(job, f"a defect of Caretaker: {error!r}; the other packs are made all the same")
    finally:
        gc.collect()


def failed(job: Job, problem: str) -> Made:
    """A pack that could not be made; `problem` says what to do."""
    told = problem if problem.startswith(f"{job.place} ") else f"{job.place} {job.period}: {problem}"
    return Made(place=job.place, period=job.period, state="failed", problem=told)


def make(
    wish: Wish, jobs: Sequence[Job], processes: int = 1, memory_bytes: int = WORKER_MEMORY_BYTES
) -> Iterator[Made]:
    """Each pack as it gets ready, in any order. To end early close the iterator: workers end with it."""
    workers = max(1, min(processes, len(jobs)))
    alone = list[Job]()
    with _Pool(workers, memory_bytes, wish.nice) as pool:
        waiting, left = dict[Future[Made], Job](), list(reversed(jobs))
        while waiting or left:
            while left and len(waiting) < workers + 1:  # one in reserve, so that no worker waits for us
                job = left.pop()
                waiting[pool.submit(wish, job)] = job
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                job = waiting.pop(future)
                try:
                    yield future.result()
                except BrokenExecutor:  # a worker died, of this pack or of another: which, is seen when it is alone
                    alone.append(job)
    for job in alone:
        with _Pool(1, memory_bytes, wish.nice) as pool:
            try:
                yield pool.submit(wish, job).result()
            except BrokenExecutor:
                yield failed(job, "its worker ended, most likely for want of memory; make it alone, with --processes 1")


class _Pool:
    """Worker processes; after one has died new ones are started for what is submitted next."""

    def __init__(self, workers: int, memory_bytes: int, nice: int) -> None:
        self._workers, self._begin = workers, (memory_bytes, nice)
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers,
            mp_context=get_context("spawn"),  # the caller may have threads
            initializer=_begin,
            initargs=self._begin,
            max_tasks_per_child=PACKS_A_WORKER,
        )

    def submit(self, wish: Wish, job: Job) -> Future[Made]:
        try:
            return self._pool.submit(_work, wish, job)
        except BrokenExecutor:
            self._pool = self._new()
            return self._pool.submit(_work, wish, job)

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
