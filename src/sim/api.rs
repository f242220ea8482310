//! The Kubernetes API of a simulated cluster: a service in memory that a [`kube::Client`] talks to without sockets.
//!
//! It answers in JSON, whatever else a client would take. Its objects are in a [`Store`]; what metrics APIs tell is in
//! [`Meters`]. Statuses, refusals and versions are those of kube-apiserver.

mod admit;
mod apply;
mod catalog;
mod lists;
mod meters;
mod openapi;
mod patch;
mod prometheus;
mod protobuf;
mod refusal;
mod resources;
mod scale;
mod selection;
mod store;
mod table;
mod target;
mod watching;
mod write;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Body, Frame};
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::service_fn;

use crate::clock::Clock;
use crate::selector::Selector;
use crate::wire::protobuf::MEDIA_TYPE;
pub use meters::{Described, Gauge, Meters, Series};
pub use prometheus::Prometheus;
pub use refusal::Refusal;
pub use resources::{
    AUTOSCALERS, CONFIG_MAPS, DEPLOYMENTS, EVENTS, LEASES, NAMESPACES, POD_METRICS, PODS, REPLICA_SETS,
    REPLICATION_CONTROLLERS, RESOURCES, Resource, SERVICES, STATEFUL_SETS,
};
use selection::Selection;
pub use store::{Change, Store, seconds};
use target::{Parameters, Part, Target};
use watching::Watching;

/// The largest body that is taken, as in kube-apiserver.
const REQUEST_BYTES: usize = 3 * 1024 * 1024;

/// An answer's body: whole, or a watch that goes on.
pub type AnswerBody = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, io::Error>>>;

/// A cluster's API.
pub struct Api {
    /// The objects.
    pub store: Arc<Store>,
    /// The metrics.
    pub meters: Mutex<Meters>,
    /// The Prometheus of the cluster, where it was started.
    pub prometheus: Prometheus,
    clock: Arc<dyn Clock>,
}

/// A request, read.
struct Asked {
    method: Method,
    target: Target,
    parameters: Parameters,
    headers: HeaderMap,
    body: Bytes,
}

impl Api {
    /// An API of an empty cluster, in which it is as late as `clock` says.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::new(Store::new(clock.clone())),
            meters: Mutex::default(),
            prometheus: Prometheus::default(),
            clock,
        })
    }

    /// A client of it.
    pub fn client(self: &Arc<Self>) -> Client {
        let api = self.clone();
        let service = service_fn(move |request: Request<kube::client::Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Makes an object as a client would, with all defaults and checks.
    ///
    /// # Errors
    ///
    /// Whatever the API would refuse.
    pub fn create(&self, resource: &'static Resource, namespace: &str, object: &Value) -> Result<Arc<Value>, Refusal> {
        write::create(&self.store, resource, namespace, object.to_string().as_bytes())
    }

    /// Answers one request. No request fails: what cannot be answered is refused.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self.handle(request).await {
            Ok(response) => response,
            Err(refusal) => refused(&refusal),
        }
    }

    async fn handle<B>(&self, request: Request<B>) -> Result<Response<AnswerBody>, Refusal>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let target = Target::parse(head.uri.path())?;
        let parameters = Parameters::parse(head.uri.query().unwrap_or_default());
        let body = Limited::new(body, REQUEST_BYTES).collect().await;
        let body = body.map_err(|_| Refusal::new(413, "RequestEntityTooLarge", "request body too large"))?;
        self.act(Asked {
            method: head.method,
            target,
            parameters,
            headers: head.headers,
            body: body.to_bytes(),
        })
    }

    fn act(&self, asked: Asked) -> Result<Response<AnswerBody>, Refusal> {
        let Asked { method, target, .. } = &asked;
        match target {
            Target::Prometheus(path) if matches!(*method, Method::GET | Method::POST) => self.proxied(path, &asked),
            Target::Document(path) if method == Method::GET => self.document(path),
            Target::Collection(resource, namespace) => match *method {
                Method::GET => self.list(resource, namespace.as_deref(), &asked),
                Method::POST => {
                    let namespace = namespace.as_deref().unwrap_or_default();
                    if resource.namespaced && namespace.is_empty() {
                        return Err(Refusal::not_allowed());
                    }
                    let store = self.written(resource, &asked)?;
                    let made = write::create(&store, resource, namespace, &asked.json_body()?)?;
                    Ok(whole(StatusCode::CREATED, &self.shown(&store, resource, made)))
                }
                Method::DELETE => self.delete_all(resource, namespace.as_deref(), &asked),
                _ => Err(Refusal::not_allowed()),
            },
            Target::Object(resource, namespace, name, part) => self.object((resource, namespace, name, *part), &asked),
            Target::Custom {
                version,
                namespace,
                resource,
                object,
                metric,
            } if method == Method::GET => {
                if version != "v1beta2" || !self.meters.lock().serves_custom() {
                    return Err(Refusal::no_such_path());
                }
                let selection = Selection::new(&PODS, Some(namespace), &asked.parameters)?;
                let picks = |name: &str| {
                    let object = self.store.get(&PODS, namespace, name);
                    object.is_some_and(|object| selection.picks(&object))
                };
                let values = self
                    .meters
                    .lock()
                    .custom(metric, (namespace, resource, object), picks)?;
                Ok(whole(StatusCode::OK, &values))
            }
            Target::External { namespace, metric } if method == Method::GET => {
                let labels = Selector::parse(asked.parameters.get("labelSelector"));
                let labels = labels.map_err(|error| Refusal::bad_request(error.to_string()))?;
                let meters = self.meters.lock();
                if !meters.serves_external() {
                    return Err(Refusal::no_such_path());
                }
                Ok(whole(StatusCode::OK, &meters.external(namespace, metric, &labels)?))
            }
            _ => Err(Refusal::not_allowed()),
        }
    }

    /// What the cluster's Prometheus says, to whom asks it through the API server.
    fn proxied(&self, path: &[String], asked: &Asked) -> Result<Response<AnswerBody>, Refusal> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let mut parameters = asked.parameters.clone();
        if asked.content_type() == "application/x-www-form-urlencoded" {
            parameters.extend(Parameters::parse(&String::from_utf8_lossy(&asked.body)));
        }
        let answer = self.prometheus.answer(&path, &parameters, self.clock.now());
        let (code, body) = answer.ok_or_else(|| Refusal::not_found(&SERVICES, "prometheus"))?;
        Ok(match body {
            Value::String(text) => response(code, "text/plain", text),
            body => whole(code, &body),
        })
    }

    fn document(&self, path: &str) -> Result<Response<AnswerBody>, Refusal> {
        if matches!(path, "/healthz" | "/readyz" | "/livez") {
            return Ok(response(StatusCode::OK, "text/plain", "ok"));
        }
        if let Some(rest) = path.strip_prefix("/openapi/v3") {
            return Ok(whole(StatusCode::OK, &openapi::document(rest)?));
        }
        let document = catalog::document(path, &self.meters.lock())?;
        Ok(whole(StatusCode::OK, &document))
    }

    fn object(
        &self,
        of: (&'static Resource, &str, &str, Part),
        asked: &Asked,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let (resource, namespace, name, part) = of;
        let missing = || Refusal::not_found(resource, name);
        let store = self.written(resource, asked)?;
        let object = match asked.method {
            Method::GET if resource == &POD_METRICS => self.meters.lock().pod(namespace, name).ok_or_else(missing)?,
            Method::GET => self.store.get(resource, namespace, name).ok_or_else(missing)?,
            Method::PUT => {
                let is_new = part == Part::Whole && self.store.get(resource, namespace, name).is_none();
                let object = write::replace(&store, of, &asked.json_body()?)?;
                if is_new {
                    return Ok(whole(StatusCode::CREATED, &self.shown(&store, resource, object)));
                }
                object
            }
            Method::PATCH if asked.content_type() == apply::MEDIA_TYPE => {
                let manager = asked.parameters.get("fieldManager");
                let (object, is_new) = apply::applied(&store, of, manager, &asked.body)?;
                if is_new {
                    return Ok(whole(StatusCode::CREATED, &self.shown(&store, resource, object)));
                }
                object
            }
            Method::PATCH => write::patched(&store, of, asked.content_type(), &asked.body)?,
            Method::DELETE if part == Part::Whole => {
                let body = asked.options()?;
                let outcome = write::delete(&store, &*self.clock, (resource, namespace, name), &body)?;
                return Ok(whole(StatusCode::OK, &outcome));
            }
            _ => return Err(Refusal::not_allowed()),
        };
        let object = self.shown(&store, resource, object);
        if part == Part::Scale {
            return Ok(whole(StatusCode::OK, &scale::of(resource, &object)));
        }
        if asked.wants_table() {
            let table = table::of(resource, std::slice::from_ref(&object), self.clock.now());
            return Ok(whole(StatusCode::OK, &table));
        }
        Ok(whole(StatusCode::OK, &object))
    }

    /// The store to write to: where nothing is to come of it, one that is thrown away.
    fn written(&self, resource: &'static Resource, asked: &Asked) -> Result<Arc<Store>, Refusal> {
        Ok(match asked.method != Method::GET && asked.is_dry_run()? {
            true => Arc::new(self.store.rehearsal(resource)),
            false => self.store.clone(),
        })
    }

    /// An object as whoever wrote it is shown it: what is not kept has no version of its own.
    fn shown(&self, store: &Arc<Store>, resource: &'static Resource, object: Arc<Value>) -> Arc<Value> {
        if Arc::ptr_eq(store, &self.store) {
            return object;
        }
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let kept = self.store.get(resource, text("namespace"), text("name"));
        let mut shown = (*object).clone();
        match kept {
            Some(kept) => shown["metadata"]["resourceVersion"] = kept["metadata"]["resourceVersion"].clone(),
            None => drop(
                shown["metadata"]
                    .as_object_mut()
                    .map(|metadata| metadata.remove("resourceVersion")),
            ),
        }
        Arc::new(shown)
    }

    /// Deletes what a selection picks; answers with that, as a list.
    fn delete_all(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        asked: &Asked,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let Some(namespace) = namespace.filter(|_| resource.namespaced) else {
            return Err(Refusal::not_allowed());
        };
        let selection = Selection::new(resource, Some(namespace), &asked.parameters)?;
        let (body, store) = (asked.options()?, self.written(resource, asked)?);
        let deleted = write::delete_all(&store, &*self.clock, (resource, namespace, &selection), &body)?;
        let metadata = json!({ "resourceVersion": self.store.newest().to_string() });
        let text = lists::text(resource, &metadata, &deleted);
        Ok(response(StatusCode::OK, "application/json", text))
    }

    fn list(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        asked: &Asked,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let parameters = &asked.parameters;
        let selection = Selection::new(resource, namespace, parameters)?;
        if parameters.is_true("watch") {
            if resource == &POD_METRICS {
                return Err(Refusal::not_allowed());
            }
            let watching = Watching::begin(self.store.clone(), resource, selection, parameters, asked.wants_table())?;
            let lines = watching.into_stream().map(|bytes| Ok(Frame::data(bytes))).boxed();
            return Ok(with_body(StatusCode::OK, "application/json", lines));
        }
        let page = match resource == &POD_METRICS {
            true => Page::whole(self.meters.lock().list_pods(&selection)),
            false => self.page(resource, namespace, &selection, parameters)?,
        };
        if asked.wants_table() {
            let mut table = table::of(resource, &page.items, self.clock.now());
            table["metadata"] = page.metadata;
            return Ok(whole(StatusCode::OK, &table));
        }
        Ok(response(
            StatusCode::OK,
            "application/json",
            lists::text(resource, &page.metadata, &page.items),
        ))
    }

    /// A page of a list: all pages of one list are of the same version.
    fn page(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        selection: &Selection,
        parameters: &Parameters,
    ) -> Result<Page, Refusal> {
        let (mut items, version, after) = match parameters.get("continue") {
            "" => {
                let exact = parameters.get("resourceVersionMatch") == "Exact";
                match parameters.number("resourceVersion")?.filter(|_| exact) {
                    Some(version) => (
                        self.store.list_at(resource, namespace, version)?,
                        version,
                        String::new(),
                    ),
                    None => {
                        let (items, version) = self.store.list(resource, namespace);
                        (items, version, String::new())
                    }
                }
            }
            token => {
                let (version, after) = token.split_once('|').ok_or_else(bad_token)?;
                let version = version.parse().map_err(|_| bad_token())?;
                let items = self.store.list_at(resource, namespace, version)?;
                (items, version, after.to_owned())
            }
        };
        let place = |object: &Value| {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            format!("{}/{}", text("namespace"), text("name"))
        };
        items.retain(|object| selection.picks(object));
        if !after.is_empty() {
            let begins = items
                .iter()
                .position(|object| place(object) == after)
                .map_or(items.len(), |at| at + 1);
            items.drain(..begins);
        }
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        let limit = parameters.number("limit")?.unwrap_or(0);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if limit > 0 && items.len() > limit {
            let rest = items.len() - limit;
            items.truncate(limit);
            if let Some(last) = items.last() {
                metadata["continue"] = format!("{version}|{}", place(last)).into();
                metadata["remainingItemCount"] = rest.into();
            }
        }
        Ok(Page { items, metadata })
    }
}

/// A part of a list.
struct Page {
    items: Vec<Arc<Value>>,
    metadata: Value,
}

impl Page {
    fn whole(items: Vec<Arc<Value>>) -> Self {
        Self {
            items,
            metadata: json!({}),
        }
    }
}

impl Asked {
    /// The body's media type.
    fn content_type(&self) -> &str {
        let said = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|said| said.to_str().ok());
        said.and_then(|said| said.split(';').next()).unwrap_or_default().trim()
    }

    /// The object in the body, as JSON.
    fn json_body(&self) -> Result<Bytes, Refusal> {
        match (self.content_type(), &self.target) {
            ("" | "application/json", _) => Ok(self.body.clone()),
            (MEDIA_TYPE, Target::Collection(resource, _) | Target::Object(resource, _, _, Part::Whole)) => {
                Ok(protobuf::to_json(resource, &self.body)?.to_string().into())
            }
            (other, _) => Err(Refusal::unsupported_media_type(other, "application/json")),
        }
    }

    /// The options of a DELETE, as JSON; nothing where there are none.
    fn options(&self) -> Result<Bytes, Refusal> {
        match self.body.is_empty() {
            true => Ok(Bytes::new()),
            false => self.json_body(),
        }
    }

    /// Whether nothing is to come of it. Options in the body of a DELETE take the place of those in the address.
    ///
    /// # Errors
    ///
    /// 422 where it says something else than `All`.
    fn is_dry_run(&self) -> Result<bool, Refusal> {
        let mut given: Vec<String> = self.parameters.all("dryRun").map(str::to_owned).collect();
        if self.method == Method::DELETE && !self.body.is_empty() {
            let options: Value = serde_json::from_slice(&self.options()?).unwrap_or_default();
            let said = options["dryRun"].as_array().into_iter().flatten();
            given = said.map(|said| said.as_str().unwrap_or_default().to_owned()).collect();
        }
        match given.iter().find(|given| *given != "All") {
            None => Ok(!given.is_empty()),
            Some(other) => {
                let problem = format!("Unsupported value: {other:?}: supported values: \"All\"");
                let message = format!("options are invalid: dryRun: {problem}");
                Err(Refusal::new(422, "Invalid", message).because(vec![("dryRun".to_owned(), problem)]))
            }
        }
    }

    /// Whether the client would print what it gets.
    fn wants_table(&self) -> bool {
        let accept = self.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let first = accept.and_then(|accept| accept.split(',').next()).unwrap_or_default();
        first.contains("as=Table") && first.contains("v=v1")
    }
}

fn bad_token() -> Refusal {
    Refusal::bad_request("continue key is not valid")
}

fn refused(refusal: &Refusal) -> Response<AnswerBody> {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = whole(code, &refusal.status());
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn whole(code: StatusCode, document: &Value) -> Response<AnswerBody> {
    response(code, "application/json", document.to_string())
}

fn response(code: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<AnswerBody> {
    with_body(code, kind, stream::iter([Ok(Frame::data(text.into()))]).boxed())
}

fn with_body(
    code: StatusCode,
    kind: &'static str,
    frames: stream::BoxStream<'static, Result<Frame<Bytes>, io::Error>>,
) -> Response<AnswerBody> {
    let mut response = Response::new(StreamBody::new(frames));
    *response.status_mut() = code;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
