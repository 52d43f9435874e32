//! The stages of the pipeline as actix middleware. Each decides about a request before the next one
//! sees it, and has no part in the answer. What is decided at once, as nearly everything is, is passed
//! on without anything on the heap; `middleware::from_fn` would box each stage twice.

use std::{
    future::{Ready, ready},
    rc::Rc,
};

use actix_web::{
    Error, HttpResponse,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
};
use bytes::BytesMut;
use futures_util::future::{Either, LocalBoxFuture};

use super::{STAGES, observe::record};
use crate::{record::RequestRecord, routing::Found, worker::Worker};

/// A request on its way through the stages, with what one of them hands to those behind it.
pub struct Passing<'a> {
    pub request: &'a ServiceRequest,
    pub record: &'a Rc<RequestRecord>,
    pub passed: &'a mut Passed,
}

/// What the stages hand to one another, and to who answers.
pub struct Passed {
    /// What routing has found.
    pub found: Found,
    /// The field lines that go upstream.
    pub fields: BytesMut,
    /// Whether the credentials in them are for the connection to the endpoint.
    pub signs_in: bool,
}

impl Default for Passed {
    fn default() -> Self {
        Self { found: Found::NoRoute, fields: BytesMut::new(), signs_in: false }
    }
}

/// What becomes of a request.
pub enum Step {
    Pass,
    /// The stages behind do not see it.
    Answer(HttpResponse),
    /// Somebody must be asked first: then it is passed, or answered.
    Later(Waiting),
}

/// Asks, once, and waits for what comes of it; it owns what the stage knows already.
pub type Waiting = Box<
    dyn for<'a> FnOnce(&'a Rc<Worker>, Passing<'a>) -> LocalBoxFuture<'a, Result<(), HttpResponse>>,
>;

/// One stage.
pub type Decide = fn(&Rc<Worker>, &mut Passing<'_>) -> Step;
/// One step of an answer on its way to the client, whichever stage has made it.
pub type Finish = fn(&RequestRecord, &mut ServiceResponse);
type Answered = Result<ServiceResponse, Error>;

/// The stages, in their order, as one middleware.
pub struct Stages {
    worker: Rc<Worker>,
}

/// The stages before what answers.
pub struct Staged<S> {
    worker: Rc<Worker>,
    next: Rc<S>,
}

/// How far a request has come.
enum Ran {
    Passed,
    Answered(HttpResponse),
    /// Behind what it waits for comes the stage of this number.
    Waits(Waiting, usize),
}

impl Stages {
    pub fn new(worker: &Rc<Worker>) -> Self {
        Self { worker: Rc::clone(worker) }
    }
}

/// Runs the stages from the first on until one of them does not pass the request on. The list is a
/// constant, so that the compiler sees which functions these are.
#[inline]
fn run(worker: &Rc<Worker>, record: &Rc<RequestRecord>, request: &ServiceRequest) -> Ran {
    let mut passed = record.passed.borrow_mut();
    let passing = &mut Passing { request, record, passed: &mut passed };
    for (index, decide) in STAGES.iter().enumerate() {
        match decide(worker, passing) {
            Step::Pass => {}
            Step::Answer(response) => return Ran::Answered(response),
            Step::Later(waiting) => return Ran::Waits(waiting, index + 1),
        }
    }
    Ran::Passed
}

/// Waits, and runs what is left of the stages.
async fn wait(
    worker: &Rc<Worker>,
    mut waiting: Waiting,
    mut next: usize,
    record: &Rc<RequestRecord>,
    request: &ServiceRequest,
) -> Result<(), HttpResponse> {
    // Nobody else asks for it before the request has passed.
    let passed = &mut record.passed.take();
    loop {
        waiting(worker, Passing { request, record, passed }).await?;
        waiting = loop {
            let Some(decide) = STAGES.get(next) else {
                record.passed.replace(std::mem::take(passed));
                return Ok(());
            };
            next += 1;
            match decide(worker, &mut Passing { request, record, passed }) {
                Step::Pass => {}
                Step::Answer(response) => return Err(response),
                Step::Later(waiting) => break waiting,
            }
        };
    }
}

impl<S> Transform<S, ServiceRequest> for Stages
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Transform = Staged<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, next: S) -> Self::Future {
        let worker = Rc::clone(&self.worker);
        ready(Ok(Staged { worker, next: Rc::new(next) }))
    }
}

impl<S> Service<ServiceRequest> for Staged<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = Either<S::Future, Either<Ready<Answered>, LocalBoxFuture<'static, Answered>>>;

    forward_ready!(next);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let record = record(&request);
        match run(&self.worker, &record, &request) {
            Ran::Passed => Either::Left(self.next.call(request)),
            Ran::Answered(response) => {
                Either::Right(Either::Left(ready(Ok(request.into_response(response)))))
            }
            Ran::Waits(waiting, behind) => {
                let (worker, next) = (Rc::clone(&self.worker), Rc::clone(&self.next));
                Either::Right(Either::Right(Box::pin(async move {
                    match wait(&worker, waiting, behind, &record, &request).await {
                        Ok(()) => next.call(request).await,
                        Err(response) => Ok(request.into_response(response)),
                    }
                })))
            }
        }
    }
}
