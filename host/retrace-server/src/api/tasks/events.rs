//! A task as it goes on, by server-sent events (HTML Living Standard, "Server-sent events").
//!
//! `status` carries the task whenever something in it changed, `step` what the worker says, with a number as its id; `end`
//! follows the final state. A client that comes back with `Last-Event-ID` gets the steps that it missed.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{
        IntoResponse as _, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use retrace_store::{Change, Changes, Store};
use retrace_types::TaskId;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};

use super::document::{StepDocument, TaskDocument};
use crate::{
    AppState,
    api::{ApiPath, ApiResult, Caller, Problem, ProblemKind, caller::Right, problem::ProblemDocument},
};

/// How often a comment is sent where there is nothing to tell, so that nobody on the way takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often the steps and the place in the queue are looked at, which nothing tells by itself.
const TICK: Duration = Duration::from_secs(1);

/// How long a stream may be; the client then comes back.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Milliseconds that a client waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);

/// Events that wait for a slow client.
const WAITING: usize = 8;

/// Id of the event after which nothing follows.
const END: &str = "end";

/// Follows a task, until it is finished.
#[utoipa::path(get, path = "/tasks/{id}/events", tag = "tasks",
    params(
        ("id" = String, Path),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that was received"),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = String,
         description = "Events `status` (the task), `step` (what the worker says) and `end`"),
        (status = 204, description = "The client had the end already"),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
         description = "Too many streams are open"),
    ))]
pub(crate) async fn events(
    State(state): State<AppState>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    // From now on: a change after this is not missed.
    let changes = state.store.changes();
    let task = caller.task(&state, &id, Right::Read).await?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    if last == Some(END) && task.finished_at.is_some() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let seen = last.and_then(|last| last.parse().ok());
    let Ok(place) = std::sync::Arc::clone(&state.api.streams).try_acquire_owned() else {
        let detail = "too many streams of events are open on this server: ask for the task itself from time to time";
        return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(10));
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(Follower { state, id: task.id, changes, sender, seen, told: None, _place: place }.follow());
    let stream = futures_util::stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Event>| {
        receiver.recv().await.map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    let sse = Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here"));
    // Proxies that collect answers would collect this one for ever.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store")), unbuffered], sse).into_response())
}

/// Looks at a task and tells what is new, until it is finished, the client goes or the server stops.
struct Follower {
    state: AppState,
    id: TaskId,
    changes: Changes,
    sender: mpsc::Sender<Event>,
    /// Number of the last step that the client has.
    seen: Option<u64>,
    told: Option<TaskDocument>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn follow(mut self) {
        let end = Instant::now() + LIFETIME;
        if self.sender.send(Event::default().retry(RETRY)).await.is_err() {
            return;
        }
        while Instant::now() < end {
            match self.tell().await {
                Ok(true) => {}
                Ok(false) | Err(Stopped) => return,
            }
            let stopping = self.state.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.sender.closed() => return,
                () = next(&mut self.changes, self.id) => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Sends what is new; false after the end.
    async fn tell(&mut self) -> Result<bool, Stopped> {
        let store: &Store = &self.state.store;
        let task = store.task(self.id).await.map_err(|_| Stopped)?.ok_or(Stopped)?;
        let steps = store.progress(self.id).await.map_err(|_| Stopped)?;
        let document = TaskDocument::with_steps(&self.state, &task, &steps).await.map_err(|_| Stopped)?;
        for step in steps.iter().filter(|step| self.seen.is_none_or(|seen| step.number > seen)) {
            let event = Event::default().event("step").id(step.number.to_string());
            self.send(event, &StepDocument::from(step)).await?;
        }
        self.seen = steps.last().map(|step| step.number).max(self.seen);
        let is_final = document.state.is_final();
        if !self.told.as_ref().is_some_and(|told| told.tells_the_same(&document)) {
            let event = Event::default().event("status");
            self.send(if is_final { event.id(END) } else { event }, &document).await?;
        }
        self.told = Some(document);
        if is_final {
            self.send(Event::default().event("end").id(END), &()).await?;
        }
        Ok(!is_final)
    }

    async fn send(&self, event: Event, data: &impl serde::Serialize) -> Result<(), Stopped> {
        let event = event.json_data(data).map_err(|_| Stopped)?;
        self.sender.send(event).await.map_err(|_| Stopped)
    }
}

/// The client went, the task was deleted, or the store failed: the stream ends, and the client may come back.
struct Stopped;

async fn next(changes: &mut Changes, id: TaskId) {
    loop {
        match changes.next().await {
            Change::Task(other) if other != id => {}
            Change::Task(_) | Change::Any => return,
        }
    }
}
